import type { DeploymentState, Rollout } from '../cluster/rollout/types.ts';
import type { Revision, RevisionOrigin } from '../cluster/spec/types.ts';
import { sha256 } from '../lib/hash.ts';
import type { RevisionDraft } from './draft.ts';
import { type DurableRevisions, EMPTY_MEMORY, type LeaderMemory } from './revisions.ts';

/** Where revisions and the leader's memory are kept over restarts. */
export type RevisionFiles = Pick<DurableRevisions, 'record' | 'newest' | 'readMemory' | 'writeMemory'>;

/** How revisions come about that do not say it. */
export const FROM_FILE: RevisionOrigin = { kind: 'file' };

/** What the leader wants: the newest revision, where each rollout stands, and what is remembered across restarts. */
export class LeaderState {
  readonly #durable: RevisionFiles;
  readonly #rollouts = new Map<string, Rollout>();
  #revision: Revision | null = null;
  #memory: LeaderMemory = EMPTY_MEMORY;
  #states: readonly DeploymentState[] = [];
  #writing: Promise<void> = Promise.resolve();

  constructor(durable: RevisionFiles) {
    this.#durable = durable;
  }

  get revision(): Revision | null {
    return this.#revision;
  }

  get rollouts(): readonly Rollout[] {
    return [...this.#rollouts.values()];
  }

  get memory(): LeaderMemory {
    return this.#memory;
  }

  /** what the last look at the cluster made of each deployment */
  get states(): readonly DeploymentState[] {
    return this.#states;
  }

  async load(): Promise<void> {
    this.#memory = await this.#durable.readMemory();
    for (const rollout of this.#memory.rollouts) this.#rollouts.set(rollout.deployment, rollout);
    const newest = await this.#durable.newest();
    if (newest !== null) await this.#take(newest);
  }

  /**
   * Takes over a revision that the store has and this disk has not (a head on another machine recorded it).
   * @returns false when it is not newer than ours
   */
  async adopt(revision: Revision, rollouts: readonly Rollout[]): Promise<boolean> {
    if (revision.number <= (this.#revision?.number ?? 0)) return false;
    await this.#durable.record(revision);
    if (revision.number <= (this.#revision?.number ?? 0)) return false; // one was recorded here meanwhile
    this.#rollouts.clear();
    for (const rollout of rollouts) this.#rollouts.set(rollout.deployment, rollout);
    this.#revision = revision;
    await this.remember({ ...readBy(this.#memory, revision), highestRevision: revision.number });
    return true;
  }

  /** Records a draft as the next revision: fsynced before it returns. */
  async record(draft: RevisionDraft, nowMs: number): Promise<Revision> {
    const number = Math.max(this.#revision?.number ?? 0, this.#memory.highestRevision) + 1;
    const revision: Revision = { number, createdAtMs: nowMs, ...draft };
    await this.#durable.record(revision);
    await this.#take(revision);
    return revision;
  }

  /** Takes in what a plan decided; durable before it returns. */
  async update(changed: readonly Rollout[], finished: readonly string[]): Promise<void> {
    for (const rollout of changed) this.#rollouts.set(rollout.deployment, rollout);
    for (const name of finished) this.#rollouts.delete(name);
    await this.remember({});
  }

  /** What was read at a path when it was applied last: the hash of its text, or null for never. */
  lastRead(confPath: string): string | null {
    return this.#memory.confsRead[confPath] ?? null;
  }

  /** Notes what a conf.ini said that changed nothing. */
  async noteRead(conf: Pick<Revision, 'confPath' | 'confText'>): Promise<void> {
    if (this.lastRead(conf.confPath) !== sha256(conf.confText))
      await this.remember(hasRead(this.#memory, conf));
  }

  setStates(states: readonly DeploymentState[]): void {
    this.#states = states;
  }

  async remember(changes: Partial<Omit<LeaderMemory, 'rollouts'>>): Promise<void> {
    this.#memory = { ...this.#memory, ...changes, rollouts: this.rollouts };
    // One write after the other, each of what is true by then: an apply and the loop may both be here at once.
    const write = this.#writing
      .catch(() => undefined)
      .then(async () => await this.#durable.writeMemory(this.#memory));
    this.#writing = write;
    await write;
  }

  /** Makes a revision the wanted one, unless the rollouts follow it already (a restart after both were written). */
  async #take(revision: Revision): Promise<void> {
    this.#revision = revision;
    if (this.#memory.highestRevision >= revision.number) return;
    for (const rollout of wantRevision(this.rollouts, revision))
      this.#rollouts.set(rollout.deployment, rollout);
    await this.remember({ ...readBy(this.#memory, revision), highestRevision: revision.number });
  }
}

/** A file was read for it, or none: then what that path held when it was read last stays what is known of it. */
function readBy(memory: LeaderMemory, revision: Revision): Partial<LeaderMemory> {
  return (revision.origin ?? FROM_FILE).kind === 'file' ? hasRead(memory, revision) : {};
}

function hasRead(
  { confsRead }: LeaderMemory,
  { confPath, confText }: Pick<Revision, 'confPath' | 'confText'>,
): Pick<LeaderMemory, 'confsRead'> {
  return { confsRead: { ...confsRead, [confPath]: sha256(confText) } };
}

/**
 * The rollouts after a revision was recorded. A deployment that did not change keeps the revision that brought it,
 * unless it had failed: then it is tried again. One whose section is gone is wanted no more.
 */
export function wantRevision(before: readonly Rollout[], revision: Revision): readonly Rollout[] {
  const known = new Map(before.map((rollout) => [rollout.deployment, rollout]));
  const wanted = revision.deployments.map((spec): Rollout => {
    const rollout = known.get(spec.name);
    known.delete(spec.name);
    const same =
      rollout?.wanted != null &&
      rollout.failure === null &&
      JSON.stringify(rollout.wanted.spec.hashes) === JSON.stringify(spec.hashes);
    if (same) return rollout;
    return {
      deployment: spec.name,
      wanted: { revision: revision.number, spec },
      lastGood: rollout?.lastGood ?? null,
      failure: null,
    };
  });
  const gone = [...known.values()].map((rollout): Rollout => ({ ...rollout, wanted: null, failure: null }));
  return [...wanted, ...gone];
}
