import { rename, statfs } from 'node:fs/promises';
import { messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { Rounds } from '../../lib/rounds.ts';
import { Filler } from '../filling/filler.ts';
import type { ModelSource } from '../sources/types.ts';
import type { Placeholders, WholeFiles } from './barrier-server.ts';
import type { LocalFile } from './model-directory.ts';
import { finishPlaceholder, makePlaceholder } from './placeholder.ts';

export interface ExpiringFilesOptions {
  /** memory is given back when no file was opened for this long */
  readonly afterMs: number;
  readonly connections: number;
  readonly log: Log;
  /** told of a placeholder under the name that it is about to get, and of files that are whole for good */
  readonly placeholders: Placeholders;
}

/** Of file systems in memory, as statfs has them: tmpfs, ramfs. */
const IN_MEMORY = new Set([0x01021994, 0x858458f6]);
const LOOKS_PER_EXPIRY = 4;
const DRAFT = '.modelserve-preload.new';

/** Whether what lies in a folder takes memory. */
export async function isInMemory(folder: string): Promise<boolean> {
  return IN_MEMORY.has((await statfs(folder)).type);
}

/**
 * Gives the memory of whole files back when nobody has opened one for a while: a new placeholder takes the place of each. Who
 * has the file open or mapped keeps its bytes; who opens it later waits until it has come once more. The files keep their mark
 * while they are whole, so that every open is heard of.
 */
export class ExpiringFiles implements WholeFiles {
  readonly #options: ExpiringFilesOptions;
  /** those whose memory was given back before */
  readonly #released = new Map<string, LocalFile>();
  readonly #whole = new Map<string, LocalFile>();
  readonly #failed = new Set<string>();
  readonly #first: Filler;
  /** fetches nothing but what somebody waits for */
  readonly #again: Filler;
  readonly #rounds: Rounds;
  #usedAtMs = performance.now();
  #isKept = false;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: ExpiringFilesOptions, first: Filler, source: ModelSource) {
    this.#options = options;
    this.#first = first;
    const onFile = async (path: string, error: Error | null): Promise<void> => await this.#end(path, error);
    this.#again = new Filler(source, { connections: options.connections, budgetBytes: 0, onFile });
    this.#rounds = new Rounds(options.afterMs / LOOKS_PER_EXPIRY, async () => await this.#look());
  }

  async whenFile(path: string, signal: AbortSignal): Promise<void> {
    this.#usedAtMs = performance.now();
    await this.#turn; // else it could be asked for while it changes places
    try {
      await (this.#released.has(path) ? this.#again : this.#first).whenFile(path, signal);
    } finally {
      this.#usedAtMs = performance.now();
      this.#renew(path);
    }
  }

  async keep(signal: AbortSignal): Promise<void> {
    this.#isKept = true;
    await this.#turn;
    const whole = [...this.#whole.keys()];
    this.#whole.clear();
    for (const path of whole) await this.#finish(path);
    const released = [...this.#released.keys()].filter((path) => !whole.includes(path));
    await Promise.all(released.map(async (path) => await this.whenFile(path, signal)));
  }

  /** From now on the memory of these files is given back; all of them are whole. */
  async begin(files: readonly LocalFile[]): Promise<void> {
    for (const file of files) {
      if (this.#isKept) await this.#finish(file.path);
      else this.#whole.set(file.path, file);
    }
    this.#usedAtMs = performance.now();
    this.#rounds.start();
  }

  /** @returns paths of the files that are whole now and still have their mark */
  async stop(): Promise<readonly string[]> {
    await this.#rounds.stop();
    await this.#again.stop();
    return [...this.#whole.keys()];
  }

  async #finish(path: string): Promise<void> {
    await finishPlaceholder(path);
    this.#options.placeholders.forget(path);
  }

  async #end(path: string, error: Error | null): Promise<void> {
    const file = this.#released.get(path);
    if (file !== undefined && error === null) {
      if (this.#isKept) await this.#finish(path);
      else this.#whole.set(path, file);
    }
    if (error !== null) {
      this.#failed.add(path);
      this.#options.log.error(
        { path, error: error.message },
        'file cannot be had again: this open of it fails',
      );
    }
  }

  /** What failed may go well the next time: the program may run for weeks. */
  #renew(path: string): void {
    const file = this.#released.get(path);
    if (file === undefined || !this.#failed.delete(path)) return;
    this.#again.release(path);
    this.#again.add([file]);
  }

  async #look(): Promise<void> {
    const { afterMs, log } = this.#options;
    const isUsed = this.#isKept || performance.now() - this.#usedAtMs < afterMs;
    if (isUsed || this.#whole.size === 0) return;
    const expired = [...this.#whole.values()];
    this.#whole.clear();
    this.#turn = this.#replace(expired).catch((error: unknown) => {
      log.error({ error: messageOf(error) }, 'memory cannot be given back');
    });
    await this.#turn;
    log.info({ files: expired.length }, 'memory given back');
  }

  async #replace(files: readonly LocalFile[]): Promise<void> {
    for (const file of files) {
      const { path, remote } = file;
      await makePlaceholder(path + DRAFT, remote.sizeBytes ?? 0);
      await finishPlaceholder(path); // who has just opened it asks about a file that nobody knows any more
      await this.#options.placeholders.protect(path + DRAFT, path);
      (this.#released.has(path) ? this.#again : this.#first).release(path);
      await rename(path + DRAFT, path);
      this.#released.set(path, file);
      this.#again.add([file]);
    }
  }
}
