import { randomBytes } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Language } from '../../cluster/spec/types.ts';
import { runCommand } from '../../lib/process/command.ts';
import { giveFile } from '../run-as/places.ts';
import { asUser, type User } from '../run-as/user.ts';
import { missingModuleRemedy } from './missing-module.ts';
import { PreparationError } from './preparation-error.ts';

/** Importing a large framework for the first time reads gigabytes from a cold disk. */
const IMPORT_TIMEOUT_MS = 5 * 60 * 1000;

export interface ImportCheck {
  readonly command: string;
  /** of the runner; `--check-import` and the launch file are added */
  readonly args: readonly string[];
  /** who runs it; null: whoever the node runs as */
  readonly user: User | null;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** content of the launch file */
  readonly launch: object;
  readonly packageName: string;
  readonly language: Language;
  /** the backend will have GPUs, which the check has not */
  readonly needsGpu: boolean;
  /** where the launch file may lie meanwhile */
  readonly stageDir: string;
  readonly signal: AbortSignal;
}

/** What the runner prints; docs/channel.md. */
interface Verdict {
  readonly ok: boolean;
  readonly message?: string;
  readonly traceback?: string;
  readonly missing_module?: string | null;
}

/**
 * Imports the backend in its new environment, in a process of its own and without a GPU, before any replica is
 * touched. A failure that speaks of the missing GPU decides nothing: the start, which has one, will.
 * @throws PreparationError IMPORT_FAILED with the traceback; for a missing module, with the line to add and where
 */
export async function checkImport(check: ImportCheck): Promise<void> {
  const verdict = await ask(check);
  if (verdict.ok) return;
  const { message = 'the import failed', traceback = '', missing_module: missing } = verdict;
  if (check.needsGpu && /cuda|gpu|nvidia|device/i.test(`${message}\n${traceback}`)) return;
  const remedy = missing ? `: ${missingModuleRemedy(missing, check.packageName, check.language)}` : '';
  throw new PreparationError('IMPORT_FAILED', `${message}${remedy}`, traceback);
}

async function ask(check: ImportCheck): Promise<Verdict> {
  await mkdir(check.stageDir, { recursive: true });
  const file = join(check.stageDir, `check-${randomBytes(6).toString('hex')}.json`);
  await writeFile(file, JSON.stringify(check.launch), { mode: 0o600 });
  giveFile(check.user, file);
  try {
    const { command, args } = asUser(check.user, {
      command: check.command,
      args: [...check.args, '--check-import', file],
    });
    const run = await runCommand(command, args, {
      cwd: check.cwd,
      env: { ...check.env, CUDA_VISIBLE_DEVICES: '' },
      timeoutMs: IMPORT_TIMEOUT_MS,
      signal: check.signal,
    });
    check.signal.throwIfAborted();
    if (run.timedOut) {
      const minutes = IMPORT_TIMEOUT_MS / 60_000;
      return { ok: false, message: `the import took longer than ${minutes} minutes`, traceback: run.output };
    }
    return readVerdict(run.stdout) ?? died(run.exitCode, run.output);
  } finally {
    await rm(file, { force: true });
  }
}

/** The last line that is a verdict: what user code prints at its import comes before it. */
function readVerdict(stdout: string): Verdict | null {
  for (const line of stdout.trimEnd().split('\n').reverse()) {
    try {
      const value: unknown = JSON.parse(line);
      if (typeof value === 'object' && value !== null && 'ok' in value) return value as Verdict;
    } catch {
      // output of the package
    }
  }
  return null;
}

function died(exitCode: number, output: string): Verdict {
  const last = output.trimEnd().split('\n').at(-1) ?? '';
  return {
    ok: false,
    message: `the import ended the process with code ${exitCode}: ${last}`,
    traceback: output,
  };
}
