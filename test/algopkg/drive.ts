import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CommandRun, runCommand } from '../../src/lib/process/command.ts';

export const PROJECT = join(import.meta.dirname, '../..');
export const MODELS = join(PROJECT, 'Model_ZOO');

/** What a package of the repository answers with, as in the system re-created: `status` 1 with a result, or 0. */
export interface Answer<Result> {
  readonly status: 0 | 1;
  readonly result: Result;
  readonly info: string;
}

/** That of the tests, so that programs find indexes, certificates and caches; and packages stay free of bytecode. */
export const ENVIRONMENT: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  ),
  PYTHONDONTWRITEBYTECODE: '1',
};

/** Runs a program to its end, whatever comes of it. */
export function run(command: string, args: readonly string[], cwd = tmpdir()): Promise<CommandRun> {
  return runCommand(command, args, { timeoutMs: 240_000, cwd, env: ENVIRONMENT });
}

/** Why something cannot be had here, from the end of what a program said. */
export function reasonOf(result: CommandRun): string {
  return result.notFound ? 'not installed' : (result.output.trim().split('\n').at(-1) ?? '');
}

/** Prints that a test is skipped, and why. */
export function printSkip(name: string, reason: string): void {
  process.stderr.write(`skipped: ${name}: ${reason}\n`);
}

/** The rows that a training script held out. */
export async function heldOut<Row>(name: string): Promise<readonly Row[]> {
  return JSON.parse(await readFile(join(PROJECT, 'test/algopkg/data', `${name}_heldout.json`), 'utf8'));
}

export async function withTemporaryFolder<Result>(
  work: (folder: string) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'modelserve-algopkg-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export interface PythonBackend {
  readonly python: string;
  readonly packageName: string;
  readonly backend: string;
  readonly model: string;
  readonly config?: unknown;
}

/** Asks a Python backend each question in a process of its own, and gives the answers in their order. */
export function askPython<Result>(
  target: PythonBackend,
  requests: readonly unknown[],
): Promise<readonly Answer<Result>[]> {
  return withTemporaryFolder(async (folder) => {
    const task = join(folder, 'task.json');
    await writeFile(task, JSON.stringify({ config: target.config ?? null, requests }));
    const modelPath = target.model === '' ? '' : `${MODELS},${target.model}`;
    const driver = join(import.meta.dirname, 'drive.py');
    const result = await run(target.python, [
      driver,
      PROJECT,
      target.packageName,
      target.backend,
      modelPath,
      task,
    ]);
    if (result.exitCode !== 0) throw new Error(result.output);
    return JSON.parse(result.stdout.trim().split('\n').at(-1) ?? '');
  });
}

/** The share of rows, from 0 to 1, for which `isRight` holds. */
export function shareOf<Row>(rows: readonly Row[], isRight: (row: Row, index: number) => boolean): number {
  return rows.filter(isRight).length / rows.length;
}
