import { chmodSync, chownSync, mkdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { chmod, mkdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { StatePaths } from '../../config/paths.ts';
import { runCommand } from '../../lib/process/command.ts';
import type { Env } from '../environments/plan.ts';
import { asUser, refused, type User } from './user.ts';

/** What backends read: packages, models, environments. */
const SHOWN = ['snapshots', 'models', 'views', 'environments', 'stage'] as const;
/** What is the node's own; files that lie beside are 0600 each. */
const CLOSED = [
  'processes',
  'logs',
  'contents',
  'partial',
  'listings',
  'uploads',
  'digests',
  'revisions',
  'tls',
  'store',
] as const;
const ACCESS_MS = 30_000;

type Folders = Pick<StatePaths, 'root' | (typeof SHOWN)[number] | (typeof CLOSED)[number]>;

/**
 * Lets other users through a state directory to what backends read, by its full path (nothing is listed), and to nothing else.
 * A node that starts nothing as another user stays closed altogether.
 */
export async function openStateDir(paths: Folders): Promise<void> {
  for (const name of CLOSED) await setMode(paths[name], 0o700);
  for (const name of SHOWN) await setMode(paths[name], 0o711);
  await chmod(paths.root, 0o711);
}

async function setMode(folder: string, mode: number): Promise<void> {
  await mkdir(folder, { recursive: true, mode });
  await chmod(folder, mode);
}

/**
 * Makes sure that a user can read what a backend needs, and enter its folders.
 * @param paths absolute
 * @throws PreparationError RUN_AS naming what is closed, and what to do
 */
export async function checkAccess(user: User, paths: readonly string[], env: Env): Promise<void> {
  const passes = '[ -d "$path" ] && [ -x "$path" ] || [ -r "$path" ]';
  const script = `for path; do ${passes} || { printf %s "$path"; exit 1; }; done`;
  const { command, args } = asUser(user, { command: '/bin/sh', args: ['-c', script, 'sh', ...paths] });
  const run = await runCommand(command, args, { env, timeoutMs: ACCESS_MS });
  if (run.exitCode === 0) return;
  const closed = paths.includes(run.stdout) ? await closedPartOf(run.stdout) : null;
  if (closed === null) throw refused(user.name, `the user cannot be taken on: ${run.output.trim()}`);
  throw refused(
    user.name,
    `that user cannot get to ${run.stdout}: ${closed === run.stdout ? 'it' : closed} is closed to others. Open it, or keep things elsewhere (--state-dir /var/lib/modelserve).`,
  );
}

/** The first folder on the way that others may not enter; the path itself where there is none. */
async function closedPartOf(path: string): Promise<string> {
  const parent = dirname(path);
  const before = parent === path ? path : await closedPartOf(parent);
  if (before !== parent) return before;
  const mode = await stat(parent).then(
    (status) => status.mode,
    () => 0,
  );
  return (mode & 0o001) === 0 ? parent : path;
}

/** Where a user's replicas make their sockets: a folder that nobody else enters. */
function socketFolder(sockets: string, { uid }: User): string {
  return join(sockets, `u${uid}`);
}

/**
 * Makes room for the socket of a replica that runs as a user, and shows it where ingress and agent look for it.
 * @param socket where they do
 * @returns where the replica makes it
 */
export function openSocketFor(user: User, sockets: string, socket: string): string {
  const folder = socketFolder(sockets, user);
  for (const passed of [dirname(sockets), sockets]) chmodSync(passed, 0o711);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chownSync(folder, user.uid, user.gid);
  const own = join(folder, basename(socket));
  rmSync(socket, { force: true });
  symlinkSync(join(basename(folder), basename(socket)), socket);
  return own;
}

/** Removes the socket of a replica that is gone, whoever made it. */
export function removeSocket(socket: string): void {
  try {
    rmSync(join(dirname(socket), readlinkSync(socket)), { force: true });
  } catch {
    // it is no link, or not there
  }
  rmSync(socket, { force: true });
}

/** A file that only its user reads. */
export function giveFile(user: User | null, file: string): void {
  if (user !== null) chownSync(file, user.uid, user.gid);
}
