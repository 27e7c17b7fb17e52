import { setTimeout as delay } from 'node:timers/promises';
import { BUCKET_COUNT, bucketOf, type Histogram, histogramOf } from '../cluster/metrics/histogram.ts';
import type { DeploymentState, Rollout } from '../cluster/rollout/types.ts';
import type { RoutingTable } from '../cluster/routing/types.ts';
import { codeOf, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { type Leadership, NODE_LEASE_MS, type Store } from '../store/types.ts';
import { ClusterView } from './cluster-view.ts';
import { type Decided, decide } from './decide.ts';
import type { RevisionDraft } from './draft.ts';
import type { LeaderState } from './leader-state.ts';
import { Lease, type LeaseOptions } from './lease.ts';
import { isAlive } from './liveness.ts';
import { Loop } from './loop.ts';
import { Publisher } from './publisher.ts';
import type { Rotations } from './rotations.ts';

export interface LeaderOptions extends LeaseOptions {
  readonly newReplicaId: (deployment: string) => string;
}

export interface LeaderDependencies {
  readonly store: Store;
  readonly state: LeaderState;
  readonly log: Log;
  /** the replacement of the cluster's token; not there: nobody replaces it */
  readonly rotations?: Pick<Rotations, 'step'>;
}

/** What a step decided on, and what came of it. */
interface Decision {
  readonly revision: number;
  readonly states: readonly DeploymentState[];
  readonly rollouts: readonly Rollout[];
}

/** One consistent look: rollouts and their states, and the routing table that follows from them and is in the store. */
export interface PublishedView extends Decision {
  readonly table: RoutingTable | null;
}

/** The loop looks at the cluster at each hint, and at least this often. */
const TICK_MS = 1_000;
/** A node whose lease lapsed this long ago is taken off the list. */
const FORGET_NODE_MS = 3_600_000;
const LOOK_MS = 50;

/**
 * The controller: holds the leader lease, observes nodes, decides (src/cluster), writes assignments and the routing
 * table. Everything it knows survives the loss of the store.
 */
export class Leader {
  readonly #options: LeaderOptions;
  readonly #dependencies: LeaderDependencies;
  readonly #publisher: Publisher;
  readonly #lease: Lease;
  readonly #loop = new Loop(() => this.look());
  readonly view = new ClusterView();
  #unsubscribe: (() => Promise<void>) | null = null;
  #published: PublishedView | null = null;
  readonly #lookCounts = new Float64Array(BUCKET_COUNT);
  #looksS = 0;
  /** nodes that were told to leave; null while the cluster is not being stopped */
  #dismissed: Set<string> | null = null;
  /** what went wrong in the last look, said once; '' when nothing did */
  #problem = '';

  constructor(options: LeaderOptions, dependencies: LeaderDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#publisher = new Publisher(dependencies);
    this.#lease = new Lease(options, dependencies.store);
  }

  get candidateId(): string {
    return this.#options.candidateId;
  }

  get leadership(): Leadership | null {
    return this.#lease.held;
  }

  /** what the store and so the ingresses have been told; null before the first time */
  get published(): PublishedView | null {
    return this.#published;
  }

  /** How long looks at the cluster took. */
  get looks(): Histogram {
    return histogramOf(this.#lookCounts, this.#looksS);
  }

  async start(): Promise<void> {
    const { store } = this.#dependencies;
    this.#unsubscribe = await store.watch(['nodes', 'reports', 'leader', 'ingresses'], () => this.wake());
    this.#loop.start();
  }

  /** Idempotent; also where it was never started. */
  async stop(): Promise<void> {
    await this.#loop.stop();
    const unsubscribe = this.#unsubscribe;
    this.#unsubscribe = null;
    await unsubscribe?.();
    await this.#lease.resign();
  }

  /** Looks at the cluster again soon. */
  wake(): void {
    this.#loop.wake();
  }

  /** Records a revision and starts to bring it into force. @throws what writing to disk throws */
  async record(draft: RevisionDraft): Promise<number> {
    const { state, log } = this.#dependencies;
    const revision = await state.record(draft, this.#options.clock());
    this.#publisher.revisionIsDirty = true;
    log.info({ revision: revision.number, deployments: revision.deployments.length }, 'revision recorded');
    this.wake();
    return revision.number;
  }

  /** @returns whether this head leads the cluster, now or within `timeoutMs` (an election takes a moment) */
  async waitUntilLeading(timeoutMs: number): Promise<boolean> {
    const end = performance.now() + timeoutMs;
    while (this.leadership === null && performance.now() < end) await delay(LOOK_MS);
    return this.leadership !== null;
  }

  /** Nodes other than this head that are there. */
  others(): readonly string[] {
    return [...this.view.nodes.keys()].filter(
      (nodeId) => nodeId !== this.#options.candidateId && this.isAlive(nodeId),
    );
  }

  /** Tells every other node to end its replicas and leave, those that join meanwhile, too. */
  dismissNodes(): void {
    this.#dismissed ??= new Set();
    this.wake();
  }

  /**
   * Waits until the nodes have left that `there` names at each look.
   * @returns the ids of nodes that were still there after `timeoutMs`
   */
  async waitUntilLeft(there: () => readonly string[], timeoutMs: number): Promise<readonly string[]> {
    const end = performance.now() + timeoutMs;
    while (there().length > 0 && performance.now() < end) await delay(LOOK_MS);
    return there();
  }

  /** Whether a node is there, or has left in order and is on the list still: the next look takes it off. */
  isListed(nodeId: string): boolean {
    return this.isAlive(nodeId) || this.view.nodes.get(nodeId)?.recordMissing === true;
  }

  isAlive(nodeId: string): boolean {
    const node = this.view.nodes.get(nodeId);
    const { storeSeenSinceMs } = this.#lease;
    return node !== undefined && isAlive(node, { nowMs: this.#options.clock(), storeSeenSinceMs });
  }

  /**
   * One look at the cluster, and all that follows from it. What goes wrong is logged, and tried again.
   * @returns ms until the next look is due
   */
  async look(): Promise<number> {
    const beganMs = performance.now();
    const dueMs = await this.#look();
    const tookMs = performance.now() - beganMs;
    (this.#lookCounts[bucketOf(tookMs)] as number) += 1;
    this.#looksS += tookMs / 1000;
    return dueMs;
  }

  async #look(): Promise<number> {
    try {
      const won = await this.#lease.hold(this.#dependencies.state.memory);
      if (won !== null) await this.#elected(won);
      if (this.#lease.held !== null) await this.#step(this.#lease.held);
      this.#problem = '';
      return Math.min(TICK_MS, this.#lease.dueInMs);
    } catch (error) {
      this.#failed(error);
      return TICK_MS;
    }
  }

  #failed(error: unknown): void {
    const isAway = codeOf(error) === 'STORE_UNREACHABLE';
    const problem = messageOf(error);
    if (problem !== this.#problem) {
      const { log } = this.#dependencies;
      log[isAway ? 'warn' : 'error'](
        { code: codeOf(error), problem },
        'the controller cannot look at the cluster',
      );
    }
    this.#problem = problem;
    this.#lease.interrupted();
    if (isAway) this.#lease.lose(); // campaign again: only then it is known whether the store still has our data
  }

  /** The newest revision of disk and store is the one that counts; of what else the store has, what is not older than ours. */
  async #elected(leadership: Leadership): Promise<void> {
    const { store, state, log } = this.#dependencies;
    const { incarnation, highestEpoch } = state.memory;
    const sameData = incarnation === null || incarnation === leadership.incarnation;
    log.info({ ...leadership, sameData }, 'leadership won');
    const recorded = await store.readRevision();
    if (recorded !== null) await state.adopt(recorded.revision, recorded.rollouts);
    if (sameData) {
      const assignments = await store.readAssignments();
      this.view.takeOver(
        assignments
          .filter((assignment) => assignment.incarnation === leadership.incarnation)
          .filter(({ nodeId, epoch }) => epoch > highestEpoch || this.view.assignment(nodeId) === null),
      );
    } else this.view.markAllDirty();
    await this.#publisher.begin(sameData);
    const { epoch } = leadership;
    await state.remember({
      highestEpoch: epoch,
      incarnation: leadership.incarnation,
      writeCount: store.writeCount,
    });
    this.#lease.take(leadership);
  }

  async #step(leadership: Leadership): Promise<void> {
    const { store } = this.#dependencies;
    const [entries, ingresses] = await Promise.all([store.readNodes(), store.readIngresses()]);
    const nowMs = this.#options.clock();
    this.view.observe(entries, nowMs);
    this.view.ingresses = ingresses;
    if (await this.#isOutlived(leadership)) return;
    this.view.renewIgnored(leadership.incarnation);
    if (!this.#hasMetKnownNodes(nowMs)) return;
    if (!(await this.#deathsAreReal())) return;
    this.#forgetDeparted(nowMs);
    await this.#rememberProgress();
    await this.#rotate(leadership, nowMs);
    const decision = this.#dismissed === null ? await this.#decide(leadership, nowMs) : this.#dismiss();
    const written = await this.#publisher.publish(leadership, {
      view: this.view,
      isAlive: (nodeId) => this.isAlive(nodeId),
      dismissed: this.#dismissed ?? new Set(),
    });
    if (written === 'fenced') this.#lease.lose();
    else if (decision !== null) this.#published = { ...decision, table: this.#publisher.table };
  }

  async #rotate(leadership: Leadership, nowMs: number): Promise<void> {
    const nodes = [...this.view.nodes.values()].map(({ record: { nodeId, tokens = null } }) => ({
      ...{ nodeId, tokens },
      isAlive: this.isAlive(nodeId),
    }));
    const written = await this.#dependencies.rotations?.step(leadership, nodes, nowMs);
    if (written === 'fenced') this.#lease.lose();
  }

  /**
   * Nodes follow later leaders only: where one follows an epoch that disk and store have both forgotten, this leadership
   * ends, and the next one takes an epoch beyond it.
   */
  async #isOutlived({ epoch, incarnation }: Leadership): Promise<boolean> {
    const reports = [...this.view.nodes.values()].map(({ report }) => report);
    const followed = [...reports, ...this.view.ingresses]
      .filter((one) => one !== null && one.incarnation !== incarnation)
      .map((one) => one?.epoch ?? 0);
    const highestEpoch = Math.max(0, ...followed);
    if (highestEpoch < epoch) return false;
    this.view.markAllDirty();
    await this.#dependencies.state.remember({ highestEpoch });
    this.#lease.lose();
    this.wake();
    return true;
  }

  async #decide(leadership: Leadership, nowMs: number): Promise<Decision> {
    const { state, log } = this.#dependencies;
    const decided = decide(this.view, state, {
      nowMs,
      isAlive: (nodeId) => this.isAlive(nodeId),
      newReplicaId: this.#options.newReplicaId,
      incarnation: leadership.incarnation,
    });
    this.#publisher.addEvents(decided.events);
    const decision = await this.#carryOut(decided);
    for (const line of decided.log) log.info(line.fields, line.message);
    if (decided.assignments.size > 0) this.wake(); // what was decided may allow the next step
    return decision;
  }

  /** Up to the write to disk all of it happens at once: an apply comes before or after. */
  async #carryOut({ assignments, lost, plan }: Decided): Promise<Decision> {
    const { state } = this.#dependencies;
    for (const [nodeId, replicas] of assignments) this.view.assign(nodeId, replicas);
    for (const nodeId of lost) this.view.writeOff(nodeId);
    state.setStates(plan.states);
    const revision = state.revision?.number ?? 0;
    if (plan.rollouts.length + plan.finished.length === 0) {
      return { revision, states: plan.states, rollouts: state.rollouts };
    }
    this.#publisher.revisionIsDirty = true;
    const updating = state.update(plan.rollouts, plan.finished);
    const { rollouts } = state;
    await updating;
    return { revision, states: plan.states, rollouts };
  }

  #dismiss(): null {
    for (const nodeId of this.view.nodes.keys()) {
      if (nodeId === this.#options.candidateId || this.#dismissed?.has(nodeId) === true) continue;
      this.#dismissed?.add(nodeId);
      this.view.assign(nodeId, []);
    }
    return null;
  }

  /** After a start, nodes that were there before are heard first: what they run must not be started twice. */
  #hasMetKnownNodes(nowMs: number): boolean {
    if (nowMs - this.#lease.storeSeenSinceMs > NODE_LEASE_MS) return true;
    const { knownNodes } = this.#dependencies.state.memory;
    return knownNodes.every((nodeId) => this.view.nodes.get(nodeId)?.report != null);
  }

  /** Before a node is taken for dead, the store must still know this leadership: else it was emptied, and all leases with it. */
  async #deathsAreReal(): Promise<boolean> {
    const isAnyDead = [...this.view.nodes.keys()].some((nodeId) => !this.isAlive(nodeId));
    return !isAnyDead || (await this.#lease.isProven());
  }

  /**
   * Takes off the list what left in order (its record went while the store was there: replicas and all have ended),
   * and what was lost long ago.
   */
  #forgetDeparted(nowMs: number): void {
    for (const [nodeId, node] of this.view.nodes) {
      const { unleasedSinceMs, recordMissing } = node;
      if (this.isAlive(nodeId) || unleasedSinceMs === null) continue;
      const hasLeft = recordMissing && unleasedSinceMs >= this.#lease.storeSeenSinceMs;
      const isLongLost = nowMs - unleasedSinceMs > FORGET_NODE_MS;
      const isEmpty = (this.view.assignment(nodeId)?.replicas.length ?? 0) === 0;
      if (!hasLeft && !isLongLost && !(recordMissing && isEmpty)) continue;
      this.view.forget(nodeId);
      this.#publisher.forgetNode(nodeId);
    }
  }

  /** What a restart needs to know: whom to hear first, and how far the store had come. */
  async #rememberProgress(): Promise<void> {
    const { state, store } = this.#dependencies;
    const knownNodes = [...this.view.nodes.keys()].sort();
    const { writeCount } = store;
    const sameNodes = knownNodes.join() === state.memory.knownNodes.join();
    if (!sameNodes || writeCount !== state.memory.writeCount)
      await state.remember({ knownNodes, writeCount });
  }
}
