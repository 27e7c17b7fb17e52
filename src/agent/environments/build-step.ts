import { tmpdir } from 'node:os';
import { type CommandRun, runCommand } from '../../lib/process/command.ts';
import type { OnProgress } from '../../lib/shared-work.ts';
import { PreparationError } from './preparation-error.ts';
import { makeTemporaryFolder, removeTemporaryFolder } from './temporary-folder.ts';

const STEP_TIMEOUT_MS = 30 * 60 * 1000;
const SHOWN_LINES = 40;

export interface BuildStep {
  /** for the person who waits: `$ pip install -r requirements.txt` */
  readonly title: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** for the failure: `pip cannot install algopkg/Digits/requirements.txt` */
  readonly failure: string;
}

/**
 * Runs one command of a build, its output going line by line to `say`. Its temporary files lie in a folder of its own, for one
 * that is interrupted leaves them behind.
 * @throws PreparationError ENVIRONMENT_FAILED with the command's own last lines
 */
export async function runStep(step: BuildStep, say: OnProgress, signal: AbortSignal): Promise<void> {
  say(step.title);
  const run = await runIt(step, say, signal);
  signal.throwIfAborted();
  if (run.exitCode === 0) return;
  const lines = run.output.trimEnd().split('\n');
  const why = run.timedOut ? `it took longer than ${STEP_TIMEOUT_MS / 60_000} minutes` : headline(lines);
  const details = lines.slice(-SHOWN_LINES).join('\n');
  throw new PreparationError('ENVIRONMENT_FAILED', `${step.failure}: ${why}`, details);
}

async function runIt(step: BuildStep, say: OnProgress, signal: AbortSignal): Promise<CommandRun> {
  const temporary = await makeTemporaryFolder(step.env['TMPDIR'] ?? tmpdir());
  try {
    return await runCommand(step.command, step.args, {
      cwd: step.cwd,
      env: { ...step.env, TMPDIR: temporary },
      timeoutMs: STEP_TIMEOUT_MS,
      onLine: say,
      signal,
      ownSession: true,
    });
  } finally {
    await removeTemporaryFolder(temporary);
  }
}

/**
 * The line that says most: pip's last `ERROR:`; else the first error (npm and uv add advice below theirs), with the cause
 * that uv gives in the line after it.
 */
function headline(lines: readonly string[]): string {
  const pips = lines.findLast((line) => line.startsWith('ERROR:'));
  const first = lines.findIndex(
    (line) => /error|×/i.test(line) && !/^npm (error|ERR!)( code \S+)?\s*$/.test(line),
  );
  const cause = /^\s*(?:cause:|╰─▶)\s*(.*)/.exec(lines[first + 1] ?? '')?.[1];
  const told = first < 0 ? lines.at(-1) : [lines[first], cause].filter(Boolean).join(' ');
  return (pips ?? told ?? '').trim();
}
