import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { ServeError } from '../errors.ts';
import { identityOf, type ProcessIdentity } from './identity.ts';

export interface DetachedCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** the whole environment of the child: nothing is inherited */
  readonly env: Readonly<Record<string, string>>;
  /** stdout and stderr are appended here */
  readonly logFile: string;
}

export interface DetachedProcess {
  readonly identity: ProcessIdentity;
  /** resolves when the child has exited and was reaped, as long as this process lives */
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

/**
 * Starts a process that outlives this one: own session, no inherited pipe. Its exit is still heard of while this
 * process lives.
 * @throws ServeError SPAWN_FAILED naming the command
 */
export async function spawnDetached(command: DetachedCommand): Promise<DetachedProcess> {
  mkdirSync(dirname(command.logFile), { recursive: true });
  const log = openSync(command.logFile, 'a', 0o600);
  let child: ChildProcess;
  try {
    child = spawn(command.command, [...command.args], {
      cwd: command.cwd,
      env: { ...command.env },
      detached: true, // setsid: a session of its own
      stdio: ['ignore', log, log],
    });
  } finally {
    closeSync(log);
  }
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => {
      reject(
        new ServeError(
          `cannot start ${command.command} in ${command.cwd}: ${cause.message}`,
          { code: 'SPAWN_FAILED' },
          { cause },
        ),
      );
    });
  });
  child.unref(); // it shall not keep this process alive: that is what detached is for
  const pid = child.pid ?? 0;
  return { identity: identityOf(pid) ?? { pid, startTicks: -1 }, exited };
}
