import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { ServeError } from '../../../src/lib/errors.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { BarrierServer } from '../../../src/models/preload/barrier-server.ts';
import { finishPlaceholder, makePlaceholder } from '../../../src/models/preload/placeholder.ts';
import { preloadLibrary } from '../../../src/models/preload/preload-library.ts';
import { preloadVariables } from '../../../src/models/preload/preload-variables.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** The library of this checkout; null: it cannot be built here, which is said once. */
export const LIBRARY = await libraryOrReason();

export const shaOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

export interface Run {
  readonly pid: number;
  readonly output: () => Buffer;
  /** to its stdin */
  readonly write: (text: string) => void;
  /** exit code (null after a signal), and what it wrote to stderr */
  readonly ended: Promise<{ readonly code: number | null; readonly stdout: Buffer; readonly stderr: string }>;
  readonly isOver: () => boolean;
}

/** A model of placeholders, a server that answers for them, and the hand that gives them their bytes. */
export interface BarrierWorld {
  readonly folder: string;
  readonly server: BarrierServer;
  readonly contents: Map<string, Buffer>;
  /** names of files in the order in which somebody waited for them */
  readonly wanted: string[];
  readonly hellos: number[];
  path(name: string): string;
  /** gives a file its bytes */
  complete(name: string): Promise<void>;
  fail(name: string, why: string): void;
  run(command: string, args: readonly string[], options?: RunOptions): Run;
}

interface Waiting {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface RunOptions {
  readonly cwd?: string;
  /** in place of the one of this checkout */
  readonly library?: string;
  readonly withoutLibrary?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

/** @param files their contents, or how many bytes by chance */
export async function openBarrierWorld(
  files: Readonly<Record<string, number | Buffer>>,
): Promise<BarrierWorld> {
  const dir = realpathSync(tempDir());
  const folder = join(dir, 'model');
  mkdirSync(folder);
  const wanted: string[] = [];
  const hellos: number[] = [];
  const contents = new Map<string, Buffer>();
  const waiting = new Map<string, Waiting>();
  const socketPath = join(dir, 'socket');
  const whenFile = async (path: string): Promise<void> => {
    const name = path.slice(folder.length + 1);
    wanted.push(name);
    await waiting.get(name)?.promise;
  };
  const onHello = (pid: number): void => void hellos.push(pid);
  const server = new BarrierServer({ socketPath, log: silentLog, onHello }, { whenFile });
  await server.start();
  onTestFinished(async () => await server.stop());
  const path = (name: string): string => join(folder, name);
  for (const [name, file] of Object.entries(files)) {
    const content = typeof file === 'number' ? randomBytes(file) : file;
    contents.set(name, content);
    waiting.set(name, withResolvers());
    await makePlaceholder(path(name), content.length);
    await server.protect(path(name));
  }
  const place = { library: LIBRARY ?? '', socketPath, folders: [folder] };
  return {
    ...{ folder, server, contents, wanted, hellos, path },
    complete: async (name) => {
      writeFileSync(path(name), contents.get(name)!, { flag: 'r+' });
      await finishPlaceholder(path(name));
      server.forget(path(name));
      waiting.get(name)?.resolve();
    },
    fail: (name, why) => waiting.get(name)?.reject(new ServeError(why, { code: 'SOURCE_REFUSED' })),
    run: (command, args, options = {}) => {
      const variables = options.withoutLibrary
        ? {}
        : preloadVariables({ ...place, library: options.library ?? place.library }, undefined);
      return start(command, args, { ...options, env: { ...variables, ...options.env } });
    },
  };
}

/** Starts a program, which ends with the test. */
export function start(command: string, args: readonly string[], { cwd, env }: RunOptions): Run {
  const { LD_PRELOAD: _, ...inherited } = process.env;
  const child = spawn(command, [...args], {
    ...{ cwd: cwd ?? '/', env: { ...inherited, ...env }, stdio: ['pipe', 'pipe', 'pipe'] },
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  let isOver = false;
  const ended = new Promise<Awaited<Run['ended']>>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      isOver = true;
      resolve({ code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() });
    });
  });
  ended.catch(() => undefined);
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended.catch(() => undefined);
  });
  return {
    pid: child.pid ?? -1,
    output: () => Buffer.concat(stdout),
    write: (text) => void child.stdin.write(text),
    ...{ ended, isOver: () => isOver },
  };
}

async function libraryOrReason(): Promise<string | null> {
  const library = await preloadLibrary(process.env['PATH'] ?? '');
  if (library.status === 'ready') return library.path;
  process.stderr.write(`skipped: tests of the preload library: ${library.reason}\n`);
  return null;
}

function withResolvers(): Waiting {
  let resolve: () => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<void>((res, rej) => {
    resolve = res;
    reject = rej;
  });
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}
