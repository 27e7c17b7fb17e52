import type { NodeRecord } from '../../src/cluster/nodes/types.ts';
import type { NodeReport } from '../../src/cluster/replicas/types.ts';
import type { PinnedSpec, Revision } from '../../src/cluster/spec/types.ts';
import { Leader } from '../../src/controller/leader.ts';
import { LeaderState, type RevisionFiles } from '../../src/controller/leader-state.ts';
import { EMPTY_MEMORY, type LeaderMemory } from '../../src/controller/revisions.ts';
import { silentLog } from '../../src/lib/log.ts';
import { placeableNode } from '../cluster/builders.ts';
import { SimAgent } from '../cluster/simulation/agent.ts';
import { randomFrom } from '../cluster/simulation/world.ts';
import { MemoryServer, type MemoryStore, unreachable } from '../support/memory-store.ts';

export const TICK_MS = 1_000;

/** Chances in [0, 1) of what may go wrong on the way. */
export interface Weather {
  /** a report or an assignment does not travel in a tick */
  readonly lost: number;
  /** an older report is sent again */
  readonly stale: number;
  /** a leader's call fails, before or after the store has done it */
  readonly broken: number;
}

export const CALM: Weather = { lost: 0, stale: 0, broken: 0 };

export interface FakeNode {
  agent: SimAgent;
  /** its machine is off */
  isDead: boolean;
  /** it neither reads nor writes the store */
  isCutOff: boolean;
  isDraining: boolean;
  renewAtMs: number;
  /** the last few, newest last */
  reports: readonly NodeReport[];
}

export interface Head {
  readonly store: MemoryStore;
  readonly files: MemoryFiles;
  leader: Leader;
  state: LeaderState;
  isDown: boolean;
}

/** The disk of a head. */
export class MemoryFiles implements RevisionFiles {
  memory: LeaderMemory = EMPTY_MEMORY;
  readonly revisions = new Map<number, Revision>();

  async record(revision: Revision): Promise<void> {
    this.revisions.set(revision.number, revision);
  }

  async newest(): Promise<Revision | null> {
    return this.revisions.get(Math.max(...this.revisions.keys())) ?? null;
  }

  async readMemory(): Promise<LeaderMemory> {
    return this.memory;
  }

  async writeMemory(memory: LeaderMemory): Promise<void> {
    this.memory = memory;
  }
}

/** The real controller over a store in memory, with agents that have no processes, on one clock. */
export class ControlWorld {
  nowMs = 1_000_000;
  weather: Weather = CALM;
  readonly server = new MemoryServer(() => this.nowMs);
  readonly nodes = new Map<string, FakeNode>();
  readonly heads: Head[] = [];
  readonly random: () => number;
  readonly #agentStore = this.server.connect();
  #ids = 0;

  constructor(seed = 1) {
    this.random = randomFrom(seed);
  }

  /** A head's controller; its machine's agent joins like any other node. */
  async addHead(candidateId: string, files = new MemoryFiles()): Promise<Head> {
    const store = this.server.connect();
    store.onCall = (call) => this.#mayBreak(call);
    store.onReply = (call) => this.#mayBreak(call);
    const head = { store, files, isDown: false, ...(await this.#controller(candidateId, store, files)) };
    this.heads.push(head);
    return head;
  }

  /** Its node process is started anew, with what its disk holds. */
  async restart(head: Head, files = head.files): Promise<void> {
    Object.assign(head, await this.#controller(head.leader.candidateId, head.store, files));
  }

  join(nodeId: string, size: { readonly gpus: number; readonly cpus?: number }): FakeNode {
    const known = this.nodes.get(nodeId);
    if (known !== undefined) return known;
    const { capacity } = placeableNode(nodeId, { gpus: size.gpus, cpus: size.cpus ?? 2 });
    const node: FakeNode = {
      agent: new SimAgent(nodeId, capacity, this.random),
      isDead: false,
      isCutOff: false,
      isDraining: false,
      renewAtMs: 0,
      reports: [],
    };
    this.nodes.set(nodeId, node);
    return node;
  }

  /** The machine goes off: what it ran is gone. */
  kill(nodeId: string): void {
    const node = this.nodes.get(nodeId);
    if (node === undefined) return;
    node.agent = new SimAgent(nodeId, node.agent.capacity, this.random);
    node.reports = [];
    node.isDead = true;
  }

  /** It leaves in order, with nobody to take over: processes end, then its record goes. */
  async leave(nodeId: string): Promise<void> {
    this.kill(nodeId);
    await this.#agentStore.removeNode(nodeId);
  }

  get leading(): Head | null {
    return this.heads.find(({ leader, isDown }) => !isDown && leader.leadership !== null) ?? null;
  }

  /** As the apply job does: in the head that leads, else not at all. */
  async apply(deployments: readonly PinnedSpec[]): Promise<number | null> {
    const head = this.leading;
    return head === null ? null : await head.leader.record(draftOf(deployments));
  }

  /** One tick of everything; `meanwhile` happens while the leaders are at it. */
  async tick(meanwhile: () => Promise<unknown> = async () => undefined): Promise<void> {
    this.nowMs += TICK_MS;
    for (const node of this.nodes.values()) await this.#pass(node);
    const looks = this.heads.filter((head) => !head.isDown).map(({ leader }) => leader.look());
    await Promise.all([...looks, meanwhile()]);
    // What was decided may allow the next step at once: in life the loop is woken for it.
    for (const head of this.heads) if (!head.isDown) await head.leader.look();
  }

  async ticks(count: number): Promise<void> {
    for (let done = 0; done < count; done += 1) await this.tick();
  }

  record(nodeId: string): NodeRecord {
    const node = this.nodes.get(nodeId);
    return {
      nodeId,
      role: nodeId.startsWith('head') ? 'head' : 'worker',
      hostname: nodeId,
      host: '127.0.0.1',
      httpPort: 8000,
      linkPort: 8001,
      pid: 1,
      capacity: node?.agent.capacity ?? placeableNode(nodeId).capacity,
      draining: node?.isDraining ?? false,
      modelserveVersion: '0.1.0',
      protocols: { channel: 1, store: 1 },
      startedAtMs: 0,
    };
  }

  /** Replica ids that run on a node, sorted. */
  running(nodeId: string): readonly string[] {
    return [...(this.nodes.get(nodeId)?.agent.replicas.keys() ?? [])].sort();
  }

  async #controller(
    candidateId: string,
    store: MemoryStore,
    files: MemoryFiles,
  ): Promise<Pick<Head, 'leader' | 'state'>> {
    const state = new LeaderState(files);
    await state.load();
    const leader = new Leader(
      {
        candidateId,
        clock: () => this.nowMs,
        newReplicaId: (deployment) => {
          this.#ids += 1;
          return `${deployment}-${this.#ids}`;
        },
      },
      { store, state, log: silentLog },
    );
    return { leader, state };
  }

  async #pass(node: FakeNode): Promise<void> {
    if (node.isDead) return;
    const { agent } = node;
    agent.pass(this.nowMs);
    if (node.isCutOff || this.server.isAway) return;
    await this.#renew(node);
    const assignment = this.#travels() ? await this.#agentStore.readAssignment(agent.nodeId) : null;
    if (assignment !== null) agent.follow(assignment, this.nowMs);
    agent.pass(this.nowMs);
    node.reports = [...node.reports, agent.report()].slice(-4);
    const isStale = this.random() < this.weather.stale;
    const index = isStale ? Math.floor(this.random() * node.reports.length) : node.reports.length - 1;
    const report = node.reports[index];
    const isKnown = this.server.content.reports.has(agent.nodeId);
    if (report !== undefined && (!isKnown || this.#travels())) await this.#agentStore.publishReport(report);
  }

  async #renew(node: FakeNode): Promise<void> {
    const { nodeId } = node.agent;
    const isNews = this.server.content.records.get(nodeId)?.draining !== node.isDraining;
    if (this.nowMs < node.renewAtMs && !isNews) return;
    node.renewAtMs = this.nowMs + 2 * TICK_MS;
    if (isNews || !(await this.#agentStore.renewNode(nodeId)))
      await this.#agentStore.publishNode(this.record(nodeId));
  }

  #travels(): boolean {
    return this.random() >= this.weather.lost;
  }

  #mayBreak(call: string): void {
    if (this.random() < this.weather.broken) throw unreachable(call);
  }
}

export function draftOf(deployments: readonly PinnedSpec[]): Omit<Revision, 'number' | 'createdAtMs'> {
  return {
    confPath: '/project/conf.ini',
    confText: JSON.stringify(deployments.map(({ name, hashes }) => [name, hashes])),
    settings: {
      port: 8000,
      ingressProcesses: 1,
      maxBodyBytes: 1_000_000,
      metricsOpen: false,
      accessLog: false,
    },
    deployments,
  };
}
