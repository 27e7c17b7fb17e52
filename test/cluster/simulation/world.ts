import type { NodeAssignment, NodeReport, ReplicaAssignment } from '../../../src/cluster/replicas/types.ts';
import { adoptReported } from '../../../src/cluster/rollout/adopt-reported.ts';
import { reconcile } from '../../../src/cluster/rollout/reconcile.ts';
import { sameSpec } from '../../../src/cluster/rollout/specs.ts';
import type {
  DeploymentState,
  ObservedNode,
  Plan,
  Rollout,
  World,
} from '../../../src/cluster/rollout/types.ts';
import type { PinnedSpec } from '../../../src/cluster/spec/types.ts';
import { placeableNode } from '../builders.ts';
import { SimAgent } from './agent.ts';

export const TICK_MS = 500;

/** How reports and assignments travel: chances in [0, 1) that the newest is not seen in a tick. */
export interface Weather {
  readonly reportLate: number;
  readonly assignmentLate: number;
}

export const CALM: Weather = { reportLate: 0, assignmentLate: 0 };

interface SimNode {
  agent: SimAgent;
  /** cut off: it runs on, neither side hears of the other */
  partitioned: boolean;
  /** its machine is off */
  dead: boolean;
  draining: boolean;
  silentTicks: number;
  assigned: readonly ReplicaAssignment[];
  version: number;
  /** the last few reports, newest last: the leader may see any of them */
  reports: NodeReport[];
  seen: NodeReport | null;
}

const SILENT_TICKS_UNTIL_LOST = 6;

/** Leader, store and agents of a cluster on one clock; every step can be looked at. */
export class SimWorld {
  nowMs = 0;
  weather: Weather = CALM;
  rollouts: readonly Rollout[] = [];
  states: readonly DeploymentState[] = [];
  readonly nodes = new Map<string, SimNode>();
  #revision = 0;
  #incarnation = 1;
  #ids = 0;
  readonly random: () => number;

  constructor(seed: number) {
    this.random = randomFrom(seed);
  }

  join(nodeId: string, size: { gpus: number; cpus: number }): void {
    if (this.nodes.has(nodeId)) return;
    const { capacity } = placeableNode(nodeId, size);
    this.nodes.set(nodeId, {
      agent: new SimAgent(nodeId, capacity, this.random),
      partitioned: false,
      dead: false,
      draining: false,
      silentTicks: 0,
      assigned: [],
      version: 0,
      reports: [],
      seen: null,
    });
  }

  /** Takes a machine away, or cuts it off, or brings it back (rebooted, or as it was). */
  disturb(nodeId: string, what: 'die' | 'partition' | 'return' | 'drain' | 'stay'): void {
    const node = this.nodes.get(nodeId);
    if (node === undefined) return;
    if (what === 'die') {
      node.agent = new SimAgent(nodeId, node.agent.capacity, this.random);
      node.reports = [];
      node.dead = true;
    }
    if (what === 'partition') node.partitioned = true;
    if (what === 'drain' || what === 'stay') node.draining = what === 'drain';
    if (what === 'return') {
      node.dead = false;
      node.partitioned = false;
    }
  }

  /** The store is emptied: a new incarnation, assignments rebuilt from what agents say. */
  flush(): void {
    this.#incarnation += 1;
    for (const node of this.nodes.values()) {
      if (node.dead || node.partitioned) continue;
      node.seen = node.agent.report();
      node.reports = [node.seen];
      node.assigned = adoptReported([], node.seen);
      node.version = 1;
    }
  }

  apply(specs: readonly PinnedSpec[]): void {
    this.#revision += 1;
    const known = new Map(this.rollouts.map((rollout) => [rollout.deployment, rollout]));
    const wanted = specs.map((spec): Rollout => {
      const before = known.get(spec.name);
      known.delete(spec.name);
      const same = before?.wanted != null && before.failure === null && sameSpec(before.wanted.spec, spec);
      if (before !== undefined && same) return before;
      const lastGood = before?.lastGood ?? null;
      return { deployment: spec.name, wanted: { revision: this.#revision, spec }, lastGood, failure: null };
    });
    const gone = [...known.values()].map((rollout) => ({ ...rollout, wanted: null, failure: null }));
    this.rollouts = [...wanted, ...gone];
  }

  /** One tick of everything; hands out what the leader saw and decided. */
  tick(): { seen: World; plan: Plan } {
    this.nowMs += TICK_MS;
    for (const node of this.nodes.values()) this.#passAt(node);
    const seen = this.observed();
    const plan = reconcile(seen, this.nowMs, (deployment) => this.#newId(deployment));
    this.carryOut(plan);
    return { seen, plan };
  }

  observed(): World {
    return {
      rollouts: this.rollouts,
      nodes: [...this.nodes.values()].map((node) => this.#observedNode(node)),
    };
  }

  /** What would be decided next if no report changed. */
  planAgain(): Plan {
    return reconcile(this.observed(), this.nowMs, (deployment) => this.#newId(deployment));
  }

  carryOut(plan: Plan): void {
    const touched = new Map<string, ReplicaAssignment[]>();
    const list = (nodeId: string) => {
      const found = touched.get(nodeId) ?? [...this.nodes.get(nodeId)!.assigned];
      touched.set(nodeId, found);
      return found;
    };
    const change = (nodeId: string, replicaId: string, over: Partial<ReplicaAssignment>) => {
      const all = list(nodeId);
      const index = all.findIndex((one) => one.replicaId === replicaId);
      all[index] = { ...all[index]!, ...over };
    };
    for (const { nodeId, replicaId } of plan.forget) {
      touched.set(
        nodeId,
        list(nodeId).filter((one) => one.replicaId !== replicaId),
      );
    }
    for (const { nodeId, replicaId, to } of plan.update) change(nodeId, replicaId, to);
    for (const { nodeId, replicaId } of plan.drain) change(nodeId, replicaId, { desired: 'drain' });
    for (const { nodeId, assignment } of plan.start) list(nodeId).push(assignment);
    for (const [nodeId, replicas] of touched) {
      const node = this.nodes.get(nodeId)!;
      node.assigned = replicas;
      node.version += 1;
    }
    const changed = new Map(plan.rollouts.map((rollout) => [rollout.deployment, rollout]));
    this.rollouts = this.rollouts
      .map((rollout) => changed.get(rollout.deployment) ?? rollout)
      .filter((rollout) => !plan.finished.includes(rollout.deployment));
    this.states = plan.states;
  }

  readyOf(deployment: string): number {
    return [...this.nodes.values()].reduce((sum, { agent }) => sum + agent.readyOf(deployment), 0);
  }

  #passAt(node: SimNode): void {
    if (node.dead) {
      node.silentTicks += 1;
      return;
    }
    node.agent.pass(this.nowMs);
    if (node.partitioned) {
      node.silentTicks += 1;
      return;
    }
    node.silentTicks = 0;
    if (this.random() >= this.weather.assignmentLate) node.agent.follow(this.#assignmentOf(node), this.nowMs);
    node.agent.pass(this.nowMs);
    node.reports = [...node.reports, node.agent.report()].slice(-4);
    const late = this.random() < this.weather.reportLate;
    const index = late ? Math.floor(this.random() * node.reports.length) : node.reports.length - 1;
    node.seen = node.reports[index]!;
  }

  #assignmentOf(node: SimNode): NodeAssignment {
    return {
      nodeId: node.agent.nodeId,
      version: node.version,
      epoch: this.#incarnation,
      incarnation: `i${this.#incarnation}`,
      replicas: node.assigned,
    };
  }

  #observedNode(node: SimNode): ObservedNode {
    return {
      nodeId: node.agent.nodeId,
      alive: node.silentTicks < SILENT_TICKS_UNTIL_LOST,
      draining: node.draining,
      capacity: node.agent.capacity,
      assigned: node.assigned,
      assignedVersion: node.version,
      incarnation: `i${this.#incarnation}`,
      report: node.seen,
    };
  }

  #newId(deployment: string): string {
    this.#ids += 1;
    return `${deployment}-${this.#ids}`;
  }
}

/** mulberry32: a small generator with a seed, uniform in [0, 1). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
