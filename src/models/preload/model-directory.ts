import { mkdir, readdir, readFile, realpath, rm, stat, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { sizeText } from '../../cluster/placement/amounts.ts';
import { ServeError } from '../../lib/errors.ts';
import { readIfThere, writeDurably } from '../../lib/files.ts';
import { lockFile, type ReleaseLock } from '../../lib/process/lock-file.ts';
import type { RemoteFile } from '../sources/types.ts';
import { isPlaceholder, makePlaceholder } from './placeholder.ts';

/** A file of the model, and where it lies. */
export interface LocalFile {
  readonly remote: RemoteFile;
  /** absolute */
  readonly path: string;
}

/** What stands in the folder's note. */
interface Note {
  /** without its query */
  readonly source: string;
  /** bytes that were in memory alone are lost with a machine: files of an earlier boot count as not there */
  readonly bootId: string;
  /** of the loader that fills the folder */
  readonly socketPath: string;
  readonly files: readonly {
    readonly path: string;
    readonly sizeBytes: number;
    readonly version: string | null;
  }[];
}

/** Of the folder of a loader's socket. */
export const RUN_DIR_PREFIX = 'modelserve-preload-';

const OWN_PREFIX = '.modelserve-preload.';
const NOTE = `${OWN_PREFIX}json`;
const LOCK = `${OWN_PREFIX}lock`;

/**
 * The folder that a program reads its model from, while one loader fills it. A note in it says what the files are, so that a
 * later start takes those that are whole, and touches no folder that is somebody else's.
 */
export class ModelDirectory {
  /** real path */
  readonly path: string;
  readonly #source: string;
  readonly #release: ReleaseLock;
  readonly #before: Note | null;

  private constructor(path: string, source: string, release: ReleaseLock, before: Note | null) {
    this.path = path;
    this.#source = source;
    this.#release = release;
    this.#before = before;
  }

  /**
   * Takes the folder, which is made if it is missing.
   * @param source what its files come from, for the note
   * @throws ServeError MODEL_DIR_FOREIGN when files lie in it that no loader has put there; LOCK_HELD while another loader has it
   */
  static async take(path: string, source: string): Promise<ModelDirectory> {
    await mkdir(path, { recursive: true });
    const folder = await realpath(path);
    await checkOwn(folder);
    const release = await lockFile(join(folder, LOCK), { timeoutMs: 0 });
    return new ModelDirectory(folder, source, release, parsed(await readIfThere(join(folder, NOTE))));
  }

  /** The socket of the loader that has the folder and fills it from the same source; null while there is none. */
  static async socketOf(path: string, source: string): Promise<string | null> {
    const note = parsed(await readIfThere(join(path, NOTE)));
    if (note === null) return null;
    if (note.source === source) return note.socketPath;
    throw new ServeError(
      `MODEL_DIR ${path} is being filled from ${note.source} at the moment, not from ${source}; use another folder`,
      { code: 'MODEL_DIR_BUSY' },
    );
  }

  /**
   * Makes placeholders for all files but those that are whole from an earlier start; files that have gone from the source are
   * removed.
   * @returns those that are to be filled
   * @throws ServeError MODEL_NO_ROOM, PLACEHOLDER_REFUSED
   */
  async place(files: readonly LocalFile[], socketPath: string): Promise<readonly LocalFile[]> {
    const bootId = await currentBoot();
    const whole = await this.#wholeFiles(files, bootId);
    await this.#clear(whole);
    const missing = files.filter(({ path }) => !whole.has(path));
    await checkRoom(this.path, missing);
    // Before the first file is made: whatever happens then, a later start knows them for its own.
    const note: Note = {
      ...{ source: this.#source, bootId, socketPath },
      files: files.map(({ path, remote }) => ({
        path: path.slice(this.path.length + 1),
        sizeBytes: remote.sizeBytes ?? 0,
        version: remote.version,
      })),
    };
    await writeDurably(join(this.path, NOTE), JSON.stringify(note), 0o644);
    for (const { path, remote } of missing) await makePlaceholder(path, remote.sizeBytes ?? 0);
    return missing;
  }

  /** Lets others take the folder. Idempotent. */
  async leave(): Promise<void> {
    await this.#release();
  }

  /** Removes what is not to stay of an earlier start, and what its loader has left where it was killed. */
  async #clear(whole: ReadonlySet<string>): Promise<void> {
    if (this.#before === null) return;
    for (const { path } of this.#before.files) {
      if (!whole.has(join(this.path, path))) await rm(join(this.path, path), { force: true });
    }
    const runDir = dirname(this.#before.socketPath);
    if (basename(runDir).startsWith(RUN_DIR_PREFIX)) await rm(runDir, { recursive: true, force: true });
  }

  async #wholeFiles(files: readonly LocalFile[], bootId: string): Promise<ReadonlySet<string>> {
    const before = this.#before;
    const whole = new Set<string>();
    if (before === null || before.source !== this.#source || before.bootId !== bootId) return whole;
    const known = new Map(before.files.map((file) => [join(this.path, file.path), file]));
    for (const { path, remote } of files) {
      const then = known.get(path);
      if (then === undefined || remote.version === null || then.version !== remote.version) continue;
      const found = await stat(path).catch(() => null);
      if (found?.size === remote.sizeBytes && !(await isPlaceholder(path))) whole.add(path);
    }
    return whole;
  }
}

async function checkOwn(folder: string): Promise<void> {
  // The note is looked for after the files: another loader, which writes it before them, may be beginning just now.
  const foreign = (await readdir(folder)).filter((name) => !name.startsWith(OWN_PREFIX));
  if (foreign.length === 0 || parsed(await readIfThere(join(folder, NOTE))) !== null) return;
  const shown = foreign.slice(0, 3).join(', ');
  throw new ServeError(
    `MODEL_DIR ${folder} holds what was not put there by an earlier start (${shown}${foreign.length > 3 ? ', …' : ''}); clear it, or use another folder`,
    { code: 'MODEL_DIR_FOREIGN' },
  );
}

async function checkRoom(folder: string, missing: readonly LocalFile[]): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const neededBytes = missing.reduce((sum, { remote }) => sum + (remote.sizeBytes ?? 0), 0);
  if (neededBytes <= bavail * bsize) return;
  throw new ServeError(
    `MODEL_DIR ${folder}: the model needs ${sizeText(neededBytes)} more, and ${sizeText(bavail * bsize)} are free; make room, or use another folder`,
    { code: 'MODEL_NO_ROOM' },
  );
}

async function currentBoot(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

function parsed(text: string | null): Note | null {
  if (text === null) return null;
  try {
    return JSON.parse(text) as Note;
  } catch {
    return null;
  }
}
