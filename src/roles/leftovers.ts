import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { StatePaths } from '../config/paths.ts';
import { identityOf, isRunning, type ProcessIdentity } from '../lib/process/identity.ts';
import { killSession, signalProcess, waitForExit } from '../lib/process/signals.ts';

/**
 * Ends what a dead node process left running below its state directory (replicas, ingress, managed store), by the
 * records it kept. Only processes that are beyond doubt those of the records.
 * @returns how many were ended
 */
export async function endLeftovers(
  paths: StatePaths,
  { graceMs }: { readonly graceMs: number },
): Promise<number> {
  if (!existsSync(paths.nodeId)) return 0; // never was a state directory: what lies there is somebody else's
  const found = leftovers(paths);
  await Promise.all(found.map((identity) => endOne(identity, graceMs)));
  rmSync(paths.processes, { recursive: true, force: true });
  rmSync(paths.sockets, { recursive: true, force: true });
  rmSync(paths.memory, { recursive: true, force: true });
  return found.length;
}

/** Whether processes of an earlier node process still run below this state directory. */
export function hasLeftovers(paths: StatePaths): boolean {
  return leftovers(paths).length > 0;
}

async function endOne(identity: ProcessIdentity, graceMs: number): Promise<void> {
  if (graceMs > 0) signalProcess(identity.pid, 'SIGTERM');
  await waitForExit(identity, graceMs);
  await killSession(identity.pid); // all of them lead a session of their own: what they forked goes with them
}

function leftovers(paths: StatePaths): readonly ProcessIdentity[] {
  const identities = recordNames(paths.processes)
    .map((name) => readRecord(join(paths.processes, name)))
    .map((record) => identityIn(record, paths))
    .filter((identity) => identity !== null);
  return identities.filter(isRunning);
}

function recordNames(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith('.json'));
  } catch {
    return [];
  }
}

interface AnyRecord {
  readonly identity?: ProcessIdentity | null;
  readonly pid?: number;
  readonly startTicks?: number;
}

function readRecord(file: string): AnyRecord {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as AnyRecord;
  } catch {
    return {}; // cut short: its process was never started, or is found by no other means
  }
}

/** A replica's record holds its identity, the ingress' record is one, the store's names a pid that must work in our store folder. */
function identityIn(record: AnyRecord, paths: StatePaths): ProcessIdentity | null {
  if (record.identity !== undefined) return record.identity;
  if (record.pid === undefined) return null;
  if (record.startTicks !== undefined) return { pid: record.pid, startTicks: record.startTicks };
  return worksIn(record.pid, paths.store) ? identityOf(record.pid) : null;
}

function worksIn(pid: number, folder: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === folder;
  } catch {
    return false;
  }
}
