import { setTimeout as delay } from 'node:timers/promises';
import type { DeploymentState } from '../cluster/rollout/types.ts';
import type { RoutingTable } from '../cluster/routing/types.ts';
import { codeOf, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import {
  type IngressEntry,
  LEADER_RENEW_MS,
  type Leadership,
  NODE_LEASE_MS,
  type Store,
} from '../store/types.ts';
import { ClusterView } from './cluster-view.ts';
import { decide } from './decide.ts';
import type { RevisionDraft } from './draft.ts';
import type { LeaderState } from './leader-state.ts';
import { isAlive } from './liveness.ts';
import { Publisher } from './publisher.ts';

export interface LeaderOptions {
  /** the node id of this head */
  readonly candidateId: string;
  readonly clock: () => number;
  readonly newReplicaId: (deployment: string) => string;
}

export interface LeaderDependencies {
  readonly store: Store;
  readonly state: LeaderState;
  readonly log: Log;
}

/** One consistent look: the states of deployments, and the routing table that follows from them and is in the store. */
export interface PublishedView {
  readonly revision: number;
  readonly states: readonly DeploymentState[];
  readonly table: RoutingTable | null;
}

/** The loop looks at the cluster at each hint, and at least this often. */
const TICK_MS = 1_000;
/** A node whose lease lapsed this long ago is taken off the list. */
const FORGET_NODE_MS = 3_600_000;

/**
 * The controller's loop: holds the leader lease, observes nodes, decides (src/cluster), writes assignments and the
 * routing table. Everything it knows survives the loss of the store.
 */
export class Leader {
  readonly #options: LeaderOptions;
  readonly #store: Store;
  readonly #state: LeaderState;
  readonly #log: Log;
  readonly #publisher: Publisher;
  readonly view = new ClusterView();
  #leadership: Leadership | null = null;
  #storeSeenSinceMs = 0;
  #ingresses: readonly IngressEntry[] = [];
  readonly #stopping = new AbortController();
  #wake: (() => void) | null = null;
  #woken = false;
  #running: Promise<void> = Promise.resolve();
  #unsubscribe: (() => Promise<void>) | null = null;
  #leaving = false;
  #published: PublishedView | null = null;
  #decidedOn: Omit<PublishedView, 'table'> = { revision: 0, states: [] };
  readonly #startedAtMs: number;

  constructor(options: LeaderOptions, dependencies: LeaderDependencies) {
    this.#options = options;
    this.#store = dependencies.store;
    this.#state = dependencies.state;
    this.#log = dependencies.log;
    this.#publisher = new Publisher(dependencies);
    this.#startedAtMs = options.clock();
  }

  get leadership(): Leadership | null {
    return this.#leadership;
  }

  get ingresses(): readonly IngressEntry[] {
    return this.#ingresses;
  }

  /** what the store and so the ingresses have been told; null before the first time */
  get published(): PublishedView | null {
    return this.#published;
  }

  async start(): Promise<void> {
    this.#unsubscribe = await this.#store.watch(['nodes', 'reports', 'leader', 'ingresses'], () =>
      this.wake(),
    );
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.wake();
    await this.#running;
    await this.#unsubscribe?.();
    const held = this.#leadership;
    this.#leadership = null;
    if (held !== null) await this.#store.resign(this.#options.candidateId, held.epoch).catch(() => undefined);
  }

  /** Looks at the cluster again soon. */
  wake(): void {
    this.#woken = true;
    this.#wake?.();
  }

  /** Records a revision and starts to bring it into force. @throws what writing to disk throws */
  async record(draft: RevisionDraft): Promise<number> {
    const revision = await this.#state.record(draft, this.#options.clock());
    this.#publisher.revisionIsDirty = true;
    this.#log.info(
      { revision: revision.number, deployments: revision.deployments.length },
      'revision recorded',
    );
    this.wake();
    return revision.number;
  }

  /** Tells every other node to end its replicas and leave. */
  dismissNodes(): void {
    this.#leaving = true;
    for (const nodeId of this.view.nodes.keys()) {
      if (nodeId !== this.#options.candidateId) this.view.assign(nodeId, []);
    }
    this.wake();
  }

  /** @returns the ids of nodes that were still there after `timeoutMs` */
  async waitUntilAlone(timeoutMs: number): Promise<readonly string[]> {
    const end = this.#options.clock() + timeoutMs;
    for (;;) {
      const others = [...this.view.nodes.keys()].filter(
        (nodeId) => nodeId !== this.#options.candidateId && this.isAlive(nodeId),
      );
      if (others.length === 0 || this.#options.clock() > end) return others;
      await delay(100);
    }
  }

  get candidateId(): string {
    return this.#options.candidateId;
  }

  isAlive(nodeId: string): boolean {
    const node = this.view.nodes.get(nodeId);
    return node !== undefined && isAlive(node, this.#livenessFacts());
  }

  async #run(): Promise<void> {
    let renewAtMs = 0;
    while (!this.#stopping.signal.aborted) {
      try {
        if (this.#options.clock() >= renewAtMs) {
          await this.#holdLease();
          renewAtMs = this.#options.clock() + LEADER_RENEW_MS;
        }
        if (this.#leadership !== null) await this.#step(this.#leadership);
      } catch (error) {
        this.#failed(error);
      }
      await this.#pause(Math.max(0, Math.min(TICK_MS, renewAtMs - this.#options.clock())));
    }
  }

  async #pause(timeoutMs: number): Promise<void> {
    if (!this.#woken) {
      const timer = new AbortController();
      await Promise.race([
        new Promise<void>((resolve) => {
          this.#wake = resolve;
        }),
        delay(timeoutMs, undefined, { signal: timer.signal }).catch(() => undefined),
      ]);
      timer.abort();
    }
    this.#wake = null;
    this.#woken = false;
  }

  #failed(error: unknown): void {
    const lost = codeOf(error) === 'STORE_UNREACHABLE';
    this.#log[lost ? 'warn' : 'error'](
      { code: codeOf(error), error: messageOf(error) },
      'the controller could not look at the cluster',
    );
    this.#storeSeenSinceMs = this.#options.clock();
    if (lost) this.#leadership = null; // campaign again: only then it is known whether the store still has our data
  }

  async #holdLease(): Promise<void> {
    const held = this.#leadership;
    if (held !== null && (await this.#store.renewLeadership(this.#options.candidateId, held.epoch))) return;
    this.#leadership = null;
    const { highestEpoch, incarnation, writeCount } = this.#state.memory;
    const won = await this.#store.campaign(this.#options.candidateId, {
      highestEpoch,
      incarnation,
      writeCount,
    });
    if (won !== null) await this.#elected(won);
  }

  async #elected(leadership: Leadership): Promise<void> {
    const sameData = leadership.incarnation === this.#state.memory.incarnation;
    this.#log.info({ ...leadership, sameData }, 'leadership won');
    this.#storeSeenSinceMs = this.#options.clock();
    const recorded = await this.#store.readRevision();
    if (sameData && recorded !== null) await this.#state.adopt(recorded.revision, recorded.rollouts);
    if (sameData && this.view.nodes.size === 0) {
      const assignments = await this.#store.readAssignments();
      this.view.takeOver(
        assignments.filter((assignment) => assignment.incarnation === leadership.incarnation),
      );
    } else if (!sameData) {
      this.view.markAllDirty();
    }
    await this.#publisher.begin(sameData);
    await this.#state.remember({ highestEpoch: leadership.epoch, incarnation: leadership.incarnation });
    this.#leadership = leadership;
  }

  async #step(leadership: Leadership): Promise<void> {
    const [entries, ingresses] = await Promise.all([this.#store.readNodes(), this.#store.readIngresses()]);
    this.#ingresses = ingresses;
    const nowMs = this.#options.clock();
    this.view.observe(entries, nowMs);
    if (!this.#hasMetKnownNodes(nowMs)) return;
    if (!(await this.#deathsAreReal(leadership))) return;
    this.#forgetDeparted(nowMs);
    await this.#rememberProgress();
    if (!this.#leaving) {
      const decided = decide(this.view, this.#state, {
        nowMs,
        isAlive: (nodeId) => this.isAlive(nodeId),
        newReplicaId: this.#options.newReplicaId,
        incarnation: leadership.incarnation,
      });
      await this.#carryOut(decided);
    }
    const written = await this.#publisher.publish(leadership, {
      view: this.view,
      isAlive: (nodeId) => this.isAlive(nodeId),
      leaving: this.#leaving,
    });
    if (written === 'fenced') this.#leadership = null;
    else this.#published = { ...this.#decidedOn, table: this.#publisher.table };
  }

  async #carryOut(decided: ReturnType<typeof decide>): Promise<void> {
    for (const [nodeId, replicas] of decided.assignments) this.view.assign(nodeId, replicas);
    this.#state.setStates(decided.plan.states);
    this.#decidedOn = { revision: this.#state.revision?.number ?? 0, states: decided.plan.states };
    if (decided.plan.rollouts.length + decided.plan.finished.length > 0) {
      await this.#state.update(decided.plan.rollouts, decided.plan.finished);
      this.#publisher.revisionIsDirty = true;
    }
    for (const line of decided.log) this.#log.info(line.fields, line.message);
    this.#publisher.addEvents(decided.events);
    if (decided.assignments.size > 0) this.#woken = true; // what was decided may allow the next step
  }

  /** After a start, nodes that were there before are heard first: what they run must not be started twice. */
  #hasMetKnownNodes(nowMs: number): boolean {
    if (nowMs - this.#startedAtMs > NODE_LEASE_MS) return true;
    return this.#state.memory.knownNodes.every((nodeId) => this.view.nodes.get(nodeId)?.report != null);
  }

  /** Before a node is taken for dead, the store must still know this leadership: else it was emptied, and all leases with it. */
  async #deathsAreReal(leadership: Leadership): Promise<boolean> {
    const anyDead = [...this.view.nodes.keys()].some((nodeId) => !this.isAlive(nodeId));
    if (!anyDead) return true;
    if (await this.#store.renewLeadership(this.#options.candidateId, leadership.epoch)) return true;
    this.#leadership = null;
    return false;
  }

  #forgetDeparted(nowMs: number): void {
    for (const [nodeId, node] of this.view.nodes) {
      if (this.isAlive(nodeId) || node.unleasedSinceMs === null) continue;
      const long = nowMs - node.unleasedSinceMs > FORGET_NODE_MS;
      const empty = (this.view.assignment(nodeId)?.replicas.length ?? 0) === 0;
      if (long || (node.recordMissing && empty)) {
        this.view.forget(nodeId);
        this.#publisher.forgetNode(nodeId);
      }
    }
  }

  /** What a restart needs to know: whom to hear first, and how far the store had come. */
  async #rememberProgress(): Promise<void> {
    const { memory } = this.#state;
    const knownNodes = [...this.view.nodes.keys()].sort();
    const { writeCount } = this.#store;
    const sameNodes = knownNodes.join() === memory.knownNodes.join();
    if (!sameNodes || writeCount !== memory.writeCount)
      await this.#state.remember({ knownNodes, writeCount });
  }

  #livenessFacts(): { nowMs: number; storeSeenSinceMs: number } {
    return { nowMs: this.#options.clock(), storeSeenSinceMs: this.#storeSeenSinceMs };
  }
}
