import { existsSync } from 'node:fs';
import { mkdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { Log } from '../../lib/log.ts';
import { readElf } from '../../lib/process/elf.ts';
import { findProgram } from '../../lib/process/find-program.ts';
import { BarrierServer, type Placeholders, type WholeFiles } from '../../models/preload/barrier-server.ts';
import { type PreloadLibrary, preloadLibrary } from '../../models/preload/preload-library.ts';
import { preloadVariables } from '../../models/preload/preload-variables.ts';

/** A program that is about to be started. */
export interface Program {
  /** path, or name on its PATH */
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Whether a program can be made to wait for files. */
export type Entry =
  | { readonly ok: true; readonly variables: Program['env'] }
  /** completes "it is waited for, since …" */
  | { readonly ok: false; readonly reason: string };

export interface ModelBarrierOptions {
  readonly socketPath: string;
  /** those in which models are shown and where they grow, if they are there */
  readonly folders: readonly string[];
  /** where a compiler is looked for, as in PATH */
  readonly searchPath: string;
}

const SET_ID = 0o6000;
/** Replicas outlive the node process: one that opens a file while that is started anew waits for the next one. */
const PATIENCE_MS = 60_000;

/** Makes programs wait for files of models that are on their way to this node. */
export class ModelBarrier implements Placeholders {
  readonly #options: ModelBarrierOptions;
  readonly #server: BarrierServer;
  #started: Promise<void> | null = null;
  #library: Promise<PreloadLibrary> | null = null;

  constructor(
    options: ModelBarrierOptions,
    { files, log }: { readonly files: WholeFiles; readonly log: Log },
  ) {
    this.#options = options;
    this.#server = new BarrierServer({ socketPath: options.socketPath, log }, files);
  }

  /** Whoever opens this placeholder waits from now on. */
  async protect(path: string, name: string = path): Promise<void> {
    await this.#server.protect(path, name);
    this.#started ??= this.#start();
    await this.#started;
  }

  forget(name: string): void {
    this.#server.forget(name);
  }

  /** What a program's environment needs so that it, and all that it starts, waits for placeholders. */
  async enter({ command, env }: Program): Promise<Entry> {
    const reason = await whyNot(command, env['PATH'] ?? '');
    if (reason !== null) return { ok: false, reason };
    this.#library ??= preloadLibrary(this.#options.searchPath);
    const library = await this.#library;
    if (library.status === 'missing') {
      return { ok: false, reason: `there is no preload library on this node: ${library.reason}` };
    }
    const { socketPath } = this.#options;
    // By their real paths, since that is what the kernel says of an open file.
    const there = this.#options.folders.filter((folder) => existsSync(folder));
    const folders = await Promise.all(there.map(async (folder) => await realpath(folder)));
    const place = { library: library.path, socketPath, folders, patienceMs: PATIENCE_MS };
    return { ok: true, variables: preloadVariables(place, env['LD_PRELOAD']) };
  }

  /** Whoever waits is not answered any more. Idempotent. */
  async stop(): Promise<void> {
    await this.#server.stop();
  }

  async #start(): Promise<void> {
    await mkdir(dirname(this.#options.socketPath), { recursive: true, mode: 0o700 });
    await this.#server.start();
  }
}

/** @returns why a program would not load the library, or null */
async function whyNot(command: string, searchPath: string): Promise<string | null> {
  const path = command.includes('/') ? command : findProgram(command, searchPath);
  if (path === null) return `${command} was not found`;
  const [program, own] = await Promise.all([readElf(path), readElf(process.execPath)]);
  if (program === null) return `${path} is no program of this machine but something that starts one`;
  if (program.loader === null) return `${path} is linked statically, and waits for no file`;
  const isSameSystem =
    program.machine === own?.machine && basename(program.loader) === basename(own.loader ?? '');
  if (!isSameSystem) return `${path} is a program for another system library than this node's`;
  return ((await stat(path)).mode & SET_ID) === 0 ? null : `${path} changes its user when it starts`;
}
