import type { PinnedSpec } from '../cluster/spec/types.ts';
import { messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { Rounds } from '../lib/rounds.ts';
import type { LeaderState } from './leader-state.ts';
import type { DurableRevisions } from './revisions.ts';

/** Older revisions go unless a rollout stands on them. */
const REVISIONS_KEPT = 30;
/** Of the newest revisions, packages and models are kept, too: any of them can be returned to. */
const CONTENTS_KEPT = 10;
/** Longer than any apply takes from its snapshots to its recorded revision. */
const GRACE_MS = 3_600_000;
const EVERY_MS = 600_000;

export interface HousekeepingDependencies {
  readonly revisions: Pick<DurableRevisions, 'numbers' | 'read' | 'remove'>;
  readonly state: Pick<LeaderState, 'rollouts'>;
  /** what nodes are assigned, lost ones included; null while this head does not lead: it cannot know then */
  readonly assigned: () => readonly PinnedSpec[] | null;
  /** deletes the packages and models that none of these names and nothing used lately; returns their hashes */
  readonly pruneContents: (keep: readonly PinnedSpec[], graceMs: number) => Promise<readonly string[]>;
  readonly log: Log;
}

/** Removes what nothing can come back to from the head's disk: old revisions, and packages and models that only they name. */
export class Housekeeping {
  readonly #dependencies: HousekeepingDependencies;
  readonly #rounds = new Rounds(EVERY_MS, () => this.tidy());

  constructor(dependencies: HousekeepingDependencies) {
    this.#dependencies = dependencies;
  }

  /** Tidies every ten minutes from now on. */
  start(): void {
    this.#rounds.start();
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    await this.#rounds.stop();
  }

  /** Once, now. What fails is logged: the next round tries again. */
  async tidy(): Promise<void> {
    const { assigned, log } = this.#dependencies;
    const running = assigned();
    if (running === null) return;
    try {
      const { kept, removed } = await this.#tidyRevisions();
      const keep = [...kept, ...this.#rolledOut(), ...running];
      const contents = await this.#dependencies.pruneContents(keep, GRACE_MS);
      if (removed.length + contents.length > 0) log.info({ revisions: removed, contents }, 'disk tidied');
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'the disk could not be tidied');
    }
  }

  async #tidyRevisions(): Promise<{
    readonly kept: readonly PinnedSpec[];
    readonly removed: readonly number[];
  }> {
    const { revisions, state } = this.#dependencies;
    const numbers = await revisions.numbers();
    const stoodOn = new Set(
      state.rollouts.flatMap(({ wanted, lastGood }) => [wanted?.revision, lastGood?.revision]),
    );
    const removed = numbers.slice(0, -REVISIONS_KEPT).filter((number) => !stoodOn.has(number));
    for (const number of removed) await revisions.remove(number);
    const kept: PinnedSpec[] = [];
    for (const number of numbers.slice(-CONTENTS_KEPT)) {
      if (!removed.includes(number)) kept.push(...((await revisions.read(number))?.deployments ?? []));
    }
    return { kept, removed };
  }

  #rolledOut(): readonly PinnedSpec[] {
    return this.#dependencies.state.rollouts.flatMap(({ wanted, lastGood }) =>
      [wanted, lastGood].flatMap((revised) => (revised === null ? [] : [revised.spec])),
    );
  }
}
