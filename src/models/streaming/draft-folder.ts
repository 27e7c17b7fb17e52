import { chmod, mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PieceSet } from '../../lib/content/pieces.ts';
import { readIfThere } from '../../lib/files.ts';
import { finishPlaceholder, makePlaceholder } from '../preload/placeholder.ts';
import type { RemoteListing } from '../remote-listing.ts';

const KEPT_MODE = 0o444;
/** What the one file of a model is called that is no folder. */
const SINGLE_FILE = 'file';
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

interface Progress {
  /** what was written before the machine went down may never have reached the disk */
  readonly bootId: string;
  /** chunks that are there, by the file's path */
  readonly held: Readonly<Record<string, string>>;
}

/** A file of a model that is on its way. */
export interface DraftFile {
  /** within the model; '' where the model is one file */
  readonly path: string;
  /** absolute */
  readonly source: string;
  readonly sizeBytes: number;
  held: PieceSet;
}

/**
 * The folder in which a model grows: every file is there from the start, at its full size and without bytes, and stays the
 * same file to its end, since other folders link to it. What has come of it is written down now and then.
 */
export class DraftFolder {
  readonly files: readonly DraftFile[];
  readonly #folder: string;
  readonly #bootId: string;
  #noting: Promise<void> = Promise.resolve();

  private constructor(folder: string, bootId: string, files: readonly DraftFile[]) {
    this.#folder = folder;
    this.#bootId = bootId;
    this.files = files;
  }

  /**
   * Goes on with what an earlier run left, if this machine has been up since; else begins anew.
   * @throws ENOSPC
   */
  static async open(
    folder: string,
    listed: RemoteListing['files'],
    chunkBytes: number,
  ): Promise<DraftFolder> {
    const bootId = (await readFile(BOOT_ID, 'utf8')).trim();
    const progress = parsed(await readIfThere(join(folder, 'progress.json')));
    const held = progress?.bootId === bootId ? progress.held : null;
    const files = listed.map(({ path, file }) => {
      const sizeBytes = file.sizeBytes ?? 0;
      const source = join(folder, 'tree', path === '' ? SINGLE_FILE : path);
      const chunks = Math.ceil(sizeBytes / chunkBytes);
      return { path, source, sizeBytes, held: PieceSet.decode(held?.[path] ?? '', chunks) };
    });
    if (held !== null && (await areThere(files))) return new DraftFolder(folder, bootId, files);
    await rm(folder, { recursive: true, force: true });
    const empty = files.map((file) => ({ ...file, held: new PieceSet(file.held.size) }));
    for (const { source, sizeBytes } of empty) {
      await makePlaceholder(source, sizeBytes);
      if (sizeBytes === 0) await finishPlaceholder(source);
    }
    const draft = new DraftFolder(folder, bootId, empty);
    await draft.note();
    return draft;
  }

  /** Where the model is: a folder, or a file. */
  get root(): string {
    const [first] = this.files;
    return first?.path === '' ? first.source : join(this.#folder, 'tree');
  }

  /** Writes down what is there. Not through to the disk: it has to outlive this process, not the machine. */
  async note(): Promise<void> {
    const noting = this.#noting
      .catch(() => undefined)
      .then(async () => {
        const held = Object.fromEntries(this.files.map((file) => [file.path, file.held.encode()]));
        const progress: Progress = { bootId: this.#bootId, held };
        const path = join(this.#folder, 'progress.json');
        await writeFile(`${path}.tmp`, JSON.stringify(progress), { mode: 0o600 });
        await rename(`${path}.tmp`, path);
      });
    this.#noting = noting;
    await noting;
  }

  /** Writes down that a file has no bytes from now on. */
  async drop(source: string): Promise<void> {
    const file = this.files.find((one) => one.source === source);
    if (file !== undefined) file.held = new PieceSet(file.held.size);
    await this.note();
  }

  /** Writes all through to the disk and gives it its name. */
  async finish(target: string): Promise<void> {
    for (const { source } of this.files) {
      await chmod(source, KEPT_MODE);
      const file = await open(source, 'r');
      await file.sync().finally(() => file.close());
    }
    await mkdir(dirname(target), { recursive: true });
    await rm(target, { recursive: true, force: true });
    await rename(this.root, target);
    await this.discard();
  }

  /** Removes what is there; whoever has linked to a file keeps it. */
  async discard(): Promise<void> {
    await this.#noting.catch(() => undefined);
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function areThere(files: readonly DraftFile[]): Promise<boolean> {
  for (const { source, sizeBytes } of files) {
    const status = await stat(source).catch(() => null);
    if (status === null || !status.isFile() || status.size !== sizeBytes) return false;
  }
  return true;
}

function parsed(text: string | null): Progress | null {
  if (text === null) return null;
  try {
    const { bootId, held } = JSON.parse(text) as Partial<Progress>;
    return typeof bootId === 'string' && typeof held === 'object' && held !== null ? { bootId, held } : null;
  } catch {
    return null;
  }
}
