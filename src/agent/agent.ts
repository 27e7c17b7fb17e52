import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { PROTOCOL_VERSION } from '../channel/frames.ts';
import type { NodeRecord, NodeRole } from '../cluster/nodes/types.ts';
import type { NodeCapacity } from '../cluster/placement/types.ts';
import type { NodeReport } from '../cluster/replicas/types.ts';
import type { TokenUse } from '../cluster/rotation/types.ts';
import type { PinnedSpec } from '../cluster/spec/types.ts';
import { ingressSocket, type StatePaths } from '../config/paths.ts';
import type { NodeSecrets } from '../config/token.ts';
import type { Log } from '../lib/log.ts';
import { type AgentStore, STORE_SCHEMA_VERSION, type WatchStore } from '../store/types.ts';
import { ProcessSampler } from '../telemetry/process-sampler.ts';
import { AssignmentFollower } from './assignment-follower.ts';
import { hostCapacity } from './capacity.ts';
import { NodeEnvironments } from './environments/node-environments.ts';
import type { Contents } from './environments/preparations.ts';
import type { PrepareOptions } from './environments/prepare-backend.ts';
import { GpuInventory, type GpuOptions } from './gpus/inventory.ts';
import { readIngressSample } from './ingress/ingress-client.ts';
import { type IngressOptions, IngressProcess } from './ingress/ingress-process.ts';
import { Membership } from './membership.ts';
import { ModelAgents } from './model-agents/model-agents.ts';
import { NodeReports } from './node-reports.ts';
import { Claims } from './replicas/claims.ts';
import { LIFE_SIGN_LIMITS } from './replicas/hang.ts';
import { ReplicaRecords } from './replicas/records.ts';
import { ReplicaSet } from './replicas/replica-set.ts';
import { WorkBook } from './replicas/work-book.ts';
import { openStateDir } from './run-as/places.ts';

/** How long a node that leaves waits for its replicas to be taken over by others. */
const HANDOVER_MS = 120_000;
const LOOK_MS = 100;

export interface AgentOptions {
  readonly nodeId: string;
  readonly role: NodeRole;
  readonly hostname: string;
  /** what other nodes and clients reach this node by */
  readonly host: string;
  readonly modelserveVersion: string;
  readonly paths: StatePaths;
  /** --num-cpus, null for what is found */
  readonly declaredCpus: number | null;
  readonly gpus: Omit<GpuOptions, 'nodeId'>;
  readonly backends: Omit<PrepareOptions, 'environmentsDir' | 'stageDir' | 'builds'>;
  /** what calls the modules of a deployment's own agents */
  readonly modelAgentProgram: string;
  readonly ingress: Omit<IngressOptions, 'paths'>;
  /** by which tokens this node proves itself, and which it accepts */
  readonly tokens: () => TokenUse;
}

export interface AgentDependencies {
  readonly store: AgentStore & WatchStore;
  /** packages and models of this node; whoever made it starts and stops it */
  readonly content: {
    readonly contents: Contents;
    readonly port: number;
    modelBytes(): Promise<number>;
  };
  readonly log: Log;
  /** wall clock, ms since 1970 */
  readonly nowMs: () => number;
  /** whether another node could take over what runs here: then a leaving node waits for that */
  readonly hasElsewhere: () => Promise<boolean>;
  /** the cluster is being stopped: whoever owns this agent stops it, and its process */
  readonly onLeaveRequested: () => void;
}

/**
 * Makes the processes of its node match its assignment, and says what it has and does. Works without the store: what
 * was assigned is kept running, and nothing new is taken on.
 */
export class Agent {
  readonly #options: AgentOptions;
  readonly #dependencies: AgentDependencies;
  readonly #gpus: GpuInventory;
  readonly #environments: NodeEnvironments;
  readonly #modelAgents: ModelAgents;
  readonly #replicas: ReplicaSet;
  readonly #works = new WorkBook();
  readonly #ingress: IngressProcess;
  readonly #follower: AssignmentFollower;
  readonly #membership: Membership;
  readonly #sampler = new ProcessSampler('node');
  readonly #life: { readonly startedAtMs: number; draining: boolean; stopped: Promise<void> | null };

  constructor(options: AgentOptions, dependencies: AgentDependencies) {
    const { nodeId, paths } = options;
    const { values } = options.backends;
    const { log, store, nowMs } = dependencies;
    this.#options = options;
    this.#dependencies = dependencies;
    this.#life = { startedAtMs: nowMs(), draining: false, stopped: null };
    const claims = new Claims(() => this.capacity);
    this.#gpus = new GpuInventory(
      { nodeId, ...options.gpus },
      {
        log,
        onChange: () => {
          claims.recheck();
          this.#membership.recordChanged();
        },
      },
    );
    this.#modelAgents = modelAgentsOf(options, log);
    this.#environments = new NodeEnvironments(environmentsOptions(options), {
      log,
      contents: dependencies.content.contents,
      agents: this.#modelAgents,
      inUse: () => this.#replicas.statuses.map(({ assignment }) => assignment.spec.package.hash),
      onChange: () => this.#membership.recordChanged(),
    });
    this.#replicas = new ReplicaSet(
      { nodeId, paths, lifeSignLimits: LIFE_SIGN_LIMITS },
      {
        preparations: this.#environments.preparations,
        works: this.#works,
        ...{ agents: this.#modelAgents, claims, log, nowMs, values },
        records: new ReplicaRecords(paths.processes),
        contents: dependencies.content.contents,
        onChange: () => {
          dependencies.content.contents.want(this.assignedSpecs);
          this.#membership.reportChanged();
        },
      },
    );
    this.#ingress = new IngressProcess(
      { ...options.ingress, paths },
      {
        log,
        onMoved: () => this.#membership.recordChanged(),
        onCasualty: () => this.#membership.reportChanged(),
      },
    );
    this.#follower = new AssignmentFollower(
      { nodeId, file: paths.assignment },
      {
        ...{ store, log },
        apply: ({ replicas }) => {
          this.#replicas.apply(replicas);
          this.#membership.reportChanged();
        },
        onLeaveRequested: dependencies.onLeaveRequested,
      },
    );
    this.#membership = new Membership(nodeId, {
      ...{ store, log },
      record: () => this.record,
      report: () => this.report,
      beforeRenewal: () => this.#ingress.refresh(),
    });
  }

  /** What this node may promise; asked anew each time, since GPUs come and go. */
  get capacity(): NodeCapacity {
    return { ...hostCapacity(this.#options.declaredCpus), gpus: this.#gpus.gpus };
  }

  get record(): NodeRecord {
    const { nodeId, role, hostname, host, modelserveVersion } = this.#options;
    return {
      ...{ nodeId, role, hostname, host, modelserveVersion },
      httpPort: this.#ingress.state?.httpPort ?? 0,
      linkPort: this.#ingress.state?.linkPort ?? 0,
      tls: this.#encrypted,
      contentPort: this.#dependencies.content.port,
      pid: process.pid,
      capacity: this.capacity,
      draining: this.#life.draining,
      software: this.#environments.software,
      protocols: { channel: PROTOCOL_VERSION, store: STORE_SCHEMA_VERSION },
      startedAtMs: this.#life.startedAtMs,
      tokens: this.#options.tokens(),
    };
  }

  /** Gives its ingress other secrets. @throws ServeError INGRESS_UNREACHABLE */
  async useSecrets(secrets: NodeSecrets): Promise<void> {
    await this.#ingress.useSecrets(secrets);
  }

  /** This node uses other tokens: its record says so. */
  tokensChanged(): void {
    this.#membership.recordChanged();
  }

  get #encrypted(): NonNullable<NodeRecord['tls']> {
    const { nodes, clients } = this.#options.ingress.launch.tls;
    return { nodes: nodes !== null, clients: clients !== null };
  }

  /** What it says of its node when the head asks; to be made once. */
  makeReports(): NodeReports {
    const { nodeId, paths } = this.#options;
    return new NodeReports({
      ...{ nodeId, paths, sampler: this.#sampler },
      ingress: async () => await readIngressSample(ingressSocket(paths.sockets)),
      gpus: () => this.#gpus.gpus,
      gpuUses: () => this.#gpus.uses,
      gpuProcesses: () => this.#gpus.processes,
      replicas: () => this.#replicas.statuses,
      modelBytes: async () => await this.#dependencies.content.modelBytes(),
      builds: () => this.#environments.preparations.tally.sample,
      works: () => this.#works.samples(this.#dependencies.nowMs()),
    });
  }

  /** What may be started here at any moment. */
  get assignedSpecs(): readonly PinnedSpec[] {
    return this.#replicas.statuses.map(({ assignment }) => assignment.spec);
  }

  get report(): NodeReport {
    const followed = this.#follower.followed;
    return {
      nodeId: this.#options.nodeId,
      assignmentVersion: followed?.version ?? -1,
      incarnation: followed?.incarnation ?? '',
      epoch: followed?.epoch ?? 0,
      replicas: this.#replicas.statuses,
      casualties: this.#ingress.state?.poison ?? [],
    };
  }

  /**
   * Adopts what an earlier agent left running, starts what is missing, joins the cluster and follows its leader. A store
   * that is away is no failure.
   * @throws ServeError INGRESS_FAILED; what was adopted is left as it was
   */
  async start(): Promise<void> {
    this.#sampler.start();
    const begun = await Promise.allSettled([
      this.#gpus.start(),
      this.#environments.start(),
      this.#replicas.adopt(),
      this.#ingress.start(),
    ]);
    const failed = begun.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) {
      await this.stop({ keepReplicas: true });
      throw failed.reason;
    }
    await this.#follower.resume();
    await this.#membership.start();
    await this.#follower.start();
  }

  /**
   * Leaves the cluster: replicas are started elsewhere first where there is an elsewhere, then the ingress and the
   * replicas finish what they have begun. With `keepReplicas` everything is left running for the next agent. Idempotent:
   * a later call waits for the first.
   */
  async stop({ keepReplicas }: { readonly keepReplicas: boolean }): Promise<void> {
    this.#life.stopped ??= keepReplicas ? this.#leaveRunning() : this.#leave();
    await this.#life.stopped;
  }

  async #leaveRunning(): Promise<void> {
    await this.#environments.stop();
    this.#sampler.stop();
    this.#gpus.stop();
    await this.#follower.stop();
    await this.#membership.stop();
    await this.#replicas.leave();
    await this.#modelAgents.stop();
    this.#ingress.leave();
  }

  async #leave(): Promise<void> {
    this.#life.draining = true;
    this.#membership.recordChanged();
    await this.#membership.flush();
    await this.#awaitHandover();
    await this.#follower.forget();
    await this.#ingress.drain(this.#longestGraceMs());
    await this.#environments.stop();
    await this.#replicas.drainAll();
    await this.#modelAgents.stop();
    await this.#ingress.stop();
    this.#sampler.stop();
    this.#gpus.stop();
    await this.#membership.leave();
  }

  /** Waits until the leader has started replacements elsewhere and drained the replicas here, if it can. */
  async #awaitHandover(): Promise<void> {
    if (this.#follower.followed?.leave === true) return;
    const end = performance.now() + HANDOVER_MS;
    const { store, hasElsewhere, log } = this.#dependencies;
    if (!(await hasElsewhere().catch(() => false))) return;
    log.info({ replicas: this.#replicas.statuses.length }, 'waiting for replacements on other nodes');
    while (!this.#replicas.isEmpty && store.link === 'connected' && performance.now() < end) {
      await delay(LOOK_MS);
    }
  }

  #longestGraceMs(): number {
    return Math.max(1_000, ...this.assignedSpecs.map((spec) => spec.gracefulShutdownTimeoutMs));
  }
}

function modelAgentsOf({ paths, backends, modelAgentProgram }: AgentOptions, log: Log): ModelAgents {
  const { nodePath, baseEnv, values } = backends;
  return new ModelAgents(
    {
      ...{ viewsDir: paths.views, scratchDir: join(paths.stage, 'agents') },
      ...{ nodePath, env: baseEnv, values, program: modelAgentProgram },
    },
    log,
  );
}

function environmentsOptions({ backends, paths }: AgentOptions): Omit<PrepareOptions, 'builds'> {
  return {
    ...backends,
    environmentsDir: paths.environments,
    stageDir: paths.stage,
    openStateDir: async () => await openStateDir(paths),
  };
}
