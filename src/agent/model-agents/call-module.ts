import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../../lib/errors.ts';
import { readIfThere } from '../../lib/files.ts';
import { runCommand } from '../../lib/process/command.ts';
import { PreparationError } from '../environments/preparation-error.ts';

/** Actions of a model's life in a replica, under the names that agents get. */
export type ModelAction = 'load' | 'load_complete' | 'load_fail' | 'unload' | 'unload_complete';

export interface ModuleCall {
  /** for messages: `agent shrink` */
  readonly label: string;
  /** absolute */
  readonly module: string;
  /** what `modelAction` gets */
  readonly call: { readonly action: ModelAction } & Readonly<Record<string, unknown>>;
  readonly timeoutMs: number;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface ModuleRunner {
  readonly nodePath: string;
  /** module-worker, built */
  readonly program: string;
  /** where requests and answers lie meanwhile */
  readonly scratchDir: string;
}

/** What the worker writes. */
type Answer =
  | { readonly ok: true; readonly result: unknown }
  | { readonly ok: false; readonly message: string; readonly stack: string };

/**
 * Calls the `modelAction` of a module in a process of its own, which ends at its deadline with all that it has started.
 * @returns what it returned
 * @throws PreparationError AGENT_FAILED with the module's message, its stack and what it printed
 */
export async function callModule(
  call: ModuleCall,
  runner: ModuleRunner,
  signal: AbortSignal,
): Promise<unknown> {
  await mkdir(runner.scratchDir, { recursive: true });
  const folder = await mkdtemp(join(runner.scratchDir, 'call-'));
  try {
    const [requestFile, resultFile] = [join(folder, 'request.json'), join(folder, 'result.json')];
    const request = { module: call.module, call: call.call };
    await writeFile(requestFile, JSON.stringify(request), { mode: 0o600 });
    const { timeoutMs, cwd, env } = call;
    const run = await runCommand(runner.nodePath, [runner.program, requestFile, resultFile], {
      ...{ timeoutMs, cwd, env, signal, ownSession: true },
    });
    signal.throwIfAborted();
    const answer = parsed(await readIfThere(resultFile));
    if (answer?.ok) return answer.result;
    const why =
      answer?.message ?? (run.timedOut ? `no answer within ${timeoutMs / 1000} s` : endOf(run.exitCode));
    const details = [answer?.stack ?? '', run.output].filter((part) => part !== '').join('\n');
    throw new PreparationError('AGENT_FAILED', `${call.label}: ${call.call.action}: ${why}`, details);
  } finally {
    await rm(folder, { recursive: true, force: true }).catch((error: unknown) => {
      if (codeOf(error) !== 'ENOTEMPTY') throw error; // what it has started may still write
    });
  }
}

function endOf(exitCode: number): string {
  return `its process ended with ${exitCode} before it had answered`;
}

function parsed(text: string | null): Answer | null {
  try {
    return text === null ? null : (JSON.parse(text) as Answer);
  } catch {
    return null;
  }
}
