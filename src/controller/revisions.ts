import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Rollout } from '../cluster/rollout/types.ts';
import type { Revision } from '../cluster/spec/types.ts';
import { messageOf, ServeError } from '../lib/errors.ts';
import { readIfThere, writeDurably } from '../lib/files.ts';

/** What the leader remembers beside the revisions: where each rollout stands, and how far it had written to the store. */
export interface LeaderMemory {
  readonly rollouts: readonly Rollout[];
  readonly highestEpoch: number;
  readonly incarnation: string | null;
  readonly writeCount: number;
  /** nodes seen last: after a start with an empty store the leader waits for their reports before it places anything */
  readonly knownNodes: readonly string[];
  /** newest revision number ever given out, so that none is given twice */
  readonly highestRevision: number;
  /** by path: SHA-256 of the text of each conf.ini when it was applied last */
  readonly confsRead: Readonly<Record<string, string>>;
}

export const EMPTY_MEMORY: LeaderMemory = {
  rollouts: [],
  highestEpoch: 0,
  incarnation: null,
  writeCount: 0,
  knownNodes: [],
  highestRevision: 0,
  confsRead: {},
};

/**
 * Revisions on the head's disk, one fsynced file each: what survives a lost, emptied or older store.
 * A revision is acknowledged only after `record` has returned.
 */
export class DurableRevisions {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async record(revision: Revision): Promise<void> {
    await writeDurably(join(this.#folder, `${revision.number}.json`), JSON.stringify(revision));
  }

  /** @throws ServeError REVISION_DAMAGED naming the file */
  async read(number: number): Promise<Revision | null> {
    const file = join(this.#folder, `${number}.json`);
    const text = await readIfThere(file);
    if (text === null) return null;
    return parse<Revision>(text, file);
  }

  /** Forgets a revision that nothing stands on any more. */
  async remove(number: number): Promise<void> {
    await rm(join(this.#folder, `${number}.json`), { force: true });
  }

  /** Ascending. */
  async numbers(): Promise<readonly number[]> {
    const names = await readdir(this.#folder).catch(() => []);
    return names
      .map((name) => /^(\d+)\.json$/.exec(name)?.[1])
      .filter((digits) => digits !== undefined)
      .map(Number)
      .sort((left, right) => left - right);
  }

  /** The newest revision, or null before the first apply. */
  async newest(): Promise<Revision | null> {
    const last = (await this.numbers()).at(-1);
    return last === undefined ? null : await this.read(last);
  }

  async readMemory(): Promise<LeaderMemory> {
    const file = join(this.#folder, 'leader.json');
    const text = await readIfThere(file);
    return text === null ? EMPTY_MEMORY : { ...EMPTY_MEMORY, ...parse<Partial<LeaderMemory>>(text, file) };
  }

  async writeMemory(memory: LeaderMemory): Promise<void> {
    await writeDurably(join(this.#folder, 'leader.json'), JSON.stringify(memory));
  }
}

function parse<Content>(text: string, file: string): Content {
  try {
    return JSON.parse(text) as Content;
  } catch (cause) {
    throw new ServeError(
      `${file} is damaged (${messageOf(cause)}). Move it away and apply conf.ini again.`,
      { code: 'REVISION_DAMAGED' },
      { cause },
    );
  }
}
