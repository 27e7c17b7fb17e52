import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { namesIn } from '../../lib/files.ts';
import { identityOf, isRunning } from '../../lib/process/identity.ts';

const NAME = /^modelserve-build-(\d+)-(\d+)-/;

/** Makes a folder that says whose it is, and removes those whose makers were killed. @param base where temporary files lie */
export async function makeTemporaryFolder(base: string): Promise<string> {
  for (const name of await namesIn(base)) {
    const [matched, pid, startTicks] = NAME.exec(name) ?? [];
    if (matched === undefined || isRunning({ pid: Number(pid), startTicks: Number(startTicks) })) continue;
    await removeTemporaryFolder(join(base, name));
  }
  return await mkdtemp(
    join(base, `modelserve-build-${process.pid}-${identityOf(process.pid)?.startTicks ?? 0}-`),
  );
}

/** What cannot be removed keeps nobody from going on: it may be somebody else's, or be written to. */
export async function removeTemporaryFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined);
}
