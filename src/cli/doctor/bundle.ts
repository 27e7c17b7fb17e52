import { copyFile, mkdir, mkdtemp, open, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { childEnvironment } from '../../config/environment.ts';
import type { StatePaths } from '../../config/paths.ts';
import { modelserveVersion } from '../../config/version.ts';
import { ServeError } from '../../lib/errors.ts';
import { runCommand } from '../../lib/process/command.ts';
import { redactDocument } from '../../lib/redact.ts';
import { adminClient } from '../target.ts';
import type { DoctorFinding } from './finding.ts';

/** The end of a log says what went wrong; the whole of it may be large. */
const TAIL_BYTES = 512 * 1024;
const TAR_MS = 60_000;
const NEWEST_REVISIONS = 3;

/**
 * Writes an archive for a bug report: what the checks found, the cluster's status, revisions, and the ends of the framework's own
 * logs, each without what looks like a secret. What user code printed, packages and models are left out.
 * @returns the files in it
 * @throws ServeError BUNDLE_FAILED
 */
export async function writeBundle(
  file: string,
  paths: StatePaths,
  findings: readonly DoctorFinding[],
): Promise<readonly string[]> {
  const target = resolve(file);
  const folder = await mkdtemp(join(tmpdir(), 'modelserve-doctor-'));
  const root = join(folder, basename(target).replace(/\.(?:tar\.gz|tgz)$/, ''));
  try {
    await mkdir(root);
    await put(
      root,
      'doctor.json',
      JSON.stringify({ version: modelserveVersion(), node: process.version, findings }, null, 2),
    );
    await put(root, 'status.json', await statusText());
    for (const name of ['leader.json', ...(await newestRevisions(paths.revisions))])
      await copyTail(join(paths.revisions, name), root, `revisions/${name}`);
    for (const name of await filesIn(paths.logs))
      await copyTail(join(paths.logs, name), root, `logs/${name}`);
    for (const name of await filesIn(paths.processes))
      await copyTail(join(paths.processes, name), root, `processes/${name}`);
    await pack(root, target);
    return await listed(root, root);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function statusText(): Promise<string> {
  try {
    return JSON.stringify(await (await adminClient({})).status(), null, 2);
  } catch (error) {
    return JSON.stringify({ error: String(error) });
  }
}

async function newestRevisions(folder: string): Promise<readonly string[]> {
  const numbered = (await filesIn(folder)).filter((name) => /^\d+\.json$/.test(name));
  return numbered
    .sort((left, right) => Number.parseInt(right, 10) - Number.parseInt(left, 10))
    .slice(0, NEWEST_REVISIONS);
}

async function copyTail(from: string, root: string, name: string): Promise<void> {
  const file = await open(from).catch(() => null);
  if (file === null) return;
  try {
    const { size } = await file.stat();
    const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES));
    await file.read(bytes, 0, bytes.length, size - bytes.length);
    await put(root, name, bytes.toString('utf8'));
  } finally {
    await file.close();
  }
}

async function put(root: string, name: string, text: string): Promise<void> {
  const path = join(root, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, redactDocument(text));
}

async function pack(root: string, target: string): Promise<void> {
  const draft = `${root}.tar.gz`;
  const run = await runCommand('tar', ['-czf', draft, '-C', dirname(root), basename(root)], {
    timeoutMs: TAR_MS,
    env: childEnvironment(),
  });
  if (run.exitCode !== 0) {
    const why = run.notFound ? 'there is no tar on PATH' : run.output.trim();
    throw new ServeError(`${target} cannot be written: ${why}`, { code: 'BUNDLE_FAILED' });
  }
  await copyFile(draft, target);
}

async function filesIn(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
}

async function listed(root: string, folder: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if ((await stat(path)).isDirectory()) found.push(...(await listed(root, path)));
    else found.push(relative(root, path));
  }
  return found.sort();
}
