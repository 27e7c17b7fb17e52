import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FileUri, publicUri } from '../../config/model-uri.ts';
import { messageOf, ServeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { Filler } from '../filling/filler.ts';
import { listRemote } from '../remote-listing.ts';
import type { ModelSource } from '../sources/types.ts';
import { BarrierServer, type Placeholders } from './barrier-server.ts';
import { ExpiringFiles, isInMemory } from './expiring-files.ts';
import { type LocalFile, ModelDirectory, RUN_DIR_PREFIX } from './model-directory.ts';
import { finishPlaceholder } from './placeholder.ts';

export interface ModelLoaderOptions {
  readonly uri: FileUri;
  /** absolute */
  readonly modelDir: string;
  /** requests at once */
  readonly connections: number;
  readonly log: Log;
  /** a folder in memory: how long after the last open large files are let go of */
  readonly expireMs: number;
  /** a program that was started for the same model wants to be served as the first one is */
  readonly onJoin: (pid: number) => void;
}

interface LoaderParts {
  readonly directory: ModelDirectory;
  readonly source: ModelSource;
  /** for the socket */
  readonly runDir: string;
  readonly isInMemory: boolean;
}

/** What is so small that one request brings it comes before all that is larger. */
const SMALL_BYTES = 8 * 1024 ** 2;

/** Fills the model folder of a program that is running already: small files first, then large ones by name, opened ones before them. */
export class ModelLoader {
  readonly socketPath: string;
  readonly #options: ModelLoaderOptions;
  readonly #directory: ModelDirectory;
  readonly #filler: Filler;
  readonly #server: BarrierServer;
  /** null: the folder lies on a disk */
  readonly #expiring: ExpiringFiles | null;
  readonly #files = new Map<string, LocalFile>();
  readonly #marked: LocalFile[] = [];
  #missing = 0;
  #failed = 0;
  #whenIdle: (() => void) | null = null;

  private constructor(options: ModelLoaderOptions, { directory, source, runDir, isInMemory }: LoaderParts) {
    this.#options = options;
    this.#directory = directory;
    this.socketPath = join(runDir, 'socket');
    const { log, onJoin, connections, expireMs } = options;
    const onFile = async (path: string, error: Error | null): Promise<void> => await this.#end(path, error);
    this.#filler = new Filler(source, { connections, onFile });
    const placeholders: Placeholders = {
      protect: async (path, name) => await this.#server.protect(path, name),
      forget: (name) => this.#server.forget(name),
    };
    const expiry = { afterMs: expireMs, connections, log, placeholders };
    this.#expiring = isInMemory ? new ExpiringFiles(expiry, this.#filler, source) : null;
    const files = this.#expiring ?? this.#filler;
    this.#server = new BarrierServer({ socketPath: this.socketPath, log, onJoin }, files);
  }

  /**
   * Lists the model, makes placeholders for what is not whole from an earlier start and begins to fill them.
   * @throws SourceError, ModelError; ServeError of the folder: MODEL_DIR_FOREIGN, LOCK_HELD, PLACEHOLDER_REFUSED
   */
  static async open(options: ModelLoaderOptions, source: ModelSource): Promise<ModelLoader> {
    const { uri, modelDir, log } = options;
    const directory = await ModelDirectory.take(modelDir, publicUri(uri.text));
    const runDir = await mkdtemp(join(tmpdir(), RUN_DIR_PREFIX));
    const loader = new ModelLoader(options, {
      ...{ directory, source, runDir },
      isInMemory: await isInMemory(directory.path),
    });
    try {
      const files = await loader.#list(source);
      const missing = await directory.place(files, loader.socketPath);
      await loader.#begin(missing.toSorted(smallFirst));
      log.info({ uri: publicUri(uri.text), files: files.length, missing: missing.length }, 'model listed');
      return loader;
    } catch (error) {
      await loader.stop();
      throw error;
    }
  }

  get folder(): string {
    return this.#directory.path;
  }

  /**
   * Resolves once nothing is left to do: all files are whole. While one of them has failed there is: to say why; and in
   * memory: to let go of files.
   */
  async whenDone(): Promise<void> {
    if (this.#isDone) return;
    await new Promise<void>((resolve) => {
      this.#whenIdle = resolve;
    });
  }

  get #isDone(): boolean {
    return this.#missing === 0 && this.#failed === 0 && this.#marked.length === 0;
  }

  /** Ends what is under way; who waits for a file fails. */
  async stop(): Promise<void> {
    await this.#filler.stop();
    const marked = await this.#expiring?.stop();
    await this.#server.stop();
    for (const path of marked ?? []) await finishPlaceholder(path);
    await rm(join(this.socketPath, '..'), { recursive: true, force: true });
    await this.#directory.leave();
  }

  async #list(source: ModelSource): Promise<readonly LocalFile[]> {
    const { uri } = this.#options;
    const listing = await listRemote(uri, source, new AbortController().signal);
    return listing.files.map(({ path, file }) => {
      const local = { remote: file, path: join(this.folder, path === '' ? uri.localName : path) };
      if (file.sizeBytes === null) throw withoutSize(uri, local);
      return local;
    });
  }

  async #begin(files: readonly LocalFile[]): Promise<void> {
    this.#missing = files.length;
    for (const file of files) {
      this.#files.set(file.path, file);
      await this.#server.protect(file.path);
    }
    await this.#server.start();
    this.#filler.add(files);
  }

  async #end(path: string, error: Error | null): Promise<void> {
    const { log } = this.#options;
    this.#missing -= 1;
    const file = this.#files.get(path);
    if (error === null) {
      if (this.#expiring !== null && file !== undefined && !isSmall(file)) this.#marked.push(file);
      else {
        await finishPlaceholder(path);
        this.#server.forget(path);
      }
      log.debug({ path }, 'file is whole');
    } else {
      this.#failed += 1;
      log.error({ path, error: messageOf(error) }, 'file cannot be had: whoever opens it fails');
    }
    if (this.#missing > 0) return;
    const { fetchedBytes, bytesPerSecond } = this.#filler.progress;
    log.info({ fetchedBytes, bytesPerSecond, failed: this.#failed }, 'model loaded');
    await this.#expiring?.begin(this.#marked);
    if (this.#isDone) this.#whenIdle?.();
  }
}

function isSmall({ remote }: LocalFile): boolean {
  return (remote.sizeBytes ?? 0) <= SMALL_BYTES;
}

function smallFirst(left: LocalFile, right: LocalFile): number {
  const [isLeftSmall, isRightSmall] = [left, right].map(
    ({ remote }) => (remote.sizeBytes ?? 0) <= SMALL_BYTES,
  );
  if (isLeftSmall !== isRightSmall) return isLeftSmall ? -1 : 1;
  return left.path < right.path ? -1 : 1;
}

function withoutSize(uri: FileUri, { path }: LocalFile): ServeError {
  return new ServeError(
    `${publicUri(uri.text)}: the server does not say how large ${path} is, so that nothing can stand in for it`,
    { code: 'SIZE_UNKNOWN' },
  );
}
