import { closeSync, ftruncateSync, mkdtempSync, openSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf, ServeError } from '../lib/errors.ts';
import { identityOf, isRunning } from '../lib/process/identity.ts';

const PREFIX = 'modelserve-connector';

/**
 * Makes a private folder for files in memory, which nothing but this process removes, and removes those of processes of this
 * machine that have been killed.
 * @throws ServeError CONNECTOR_MEMORY
 */
export function makeMemoryFolder(directory: string): string {
  removeLeftovers(directory);
  const { pid, startTicks } = identityOf(process.pid) ?? { pid: process.pid, startTicks: -1 };
  try {
    return mkdtempSync(join(directory, `${PREFIX}-${namespaceId()}-${pid}-${startTicks}-`));
  } catch (cause) {
    throw new ServeError(
      `${directory}: no folder can be made there for what is held in memory: ${messageOf(cause)}; name another one as prefetch.directory in the connector's configuration`,
      { code: 'CONNECTOR_MEMORY' },
      { cause },
    );
  }
}

/** An empty file of a size that takes no memory yet; whoever owns this process can read it. */
export function makeSparseFile(path: string, sizeBytes: number): void {
  const file = openSync(path, 'wx', 0o600);
  try {
    ftruncateSync(file, sizeBytes);
  } finally {
    closeSync(file);
  }
}

function removeLeftovers(directory: string): void {
  for (const name of namesIn(directory)) {
    const [, space, pid, startTicks] = /^modelserve-connector-(\d+)-(\d+)-(-?\d+)-\w+$/.exec(name) ?? [];
    // A process id says something in its own namespace alone: containers may share the folder.
    if (space !== namespaceId()) continue;
    if (isRunning({ pid: Number(pid), startTicks: Number(startTicks) })) continue;
    rmSync(join(directory, name), { recursive: true, force: true });
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // making a folder there will say why
  }
}

function namespaceId(): string {
  return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0';
}
