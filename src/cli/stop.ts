import { resolve } from 'node:path';
import { Agent, request } from 'undici';
import { agentSocket, type StatePaths, statePaths } from '../config/paths.ts';
import { messageOf } from '../lib/errors.ts';
import { isRunning } from '../lib/process/identity.ts';
import { waitForExit } from '../lib/process/signals.ts';
import { endLeftovers } from '../roles/leftovers.ts';
import { readStateLock, type StateLock } from '../roles/state-lock.ts';
import type { AdminClient } from './admin-client.ts';
import { CommandFailure, ExitCode } from './exit.ts';
import { localStateDir } from './local-state-dir.ts';
import { print, printError } from './output.ts';

export interface StopCommandOptions {
  readonly all: boolean;
  readonly keepReplicas: boolean;
  /** null: this user's head where one runs, else the worker */
  readonly stateDir: string | null;
  readonly client: () => Promise<AdminClient>;
}

/** Draining takes as long as requests take; after this the node is named as not ending. */
const STOP_TIMEOUT_MS = 300_000;
const ANSWER_TIMEOUT_MS = 10_000;
const LEFTOVER_GRACE_MS = 5_000;

/** `modelserve stop`: this node, the cluster, or the node process alone. */
export async function stopCommand(options: StopCommandOptions): Promise<ExitCode> {
  if (options.all && options.keepReplicas) {
    throw new CommandFailure('--all and --keep-replicas exclude each other', ExitCode.usage);
  }
  return options.all ? await stopCluster(options) : await stopNode(options);
}

async function stopCluster(options: StopCommandOptions): Promise<ExitCode> {
  const client = await options.client();
  print('stopping the cluster: every node drains and leaves, the head last');
  const { left } = await client.stopCluster();
  for (const nodeId of left)
    printError(`node ${nodeId} has not left in time; stop it there with \`modelserve stop\``);
  return left.length === 0 ? ExitCode.done : ExitCode.failed;
}

async function stopNode(options: StopCommandOptions): Promise<ExitCode> {
  const paths = statePaths(resolve(options.stateDir ?? (await localStateDir())));
  const lock = await readStateLock(paths);
  if (lock !== null && isRunning(lock)) return await askNode(paths, lock, options);
  if (options.keepReplicas) {
    print(`no node process runs in ${paths.root}`);
    return ExitCode.done;
  }
  const ended = await endLeftovers(paths, { graceMs: LEFTOVER_GRACE_MS });
  print(
    ended === 0
      ? `nothing runs in ${paths.root}`
      : `ended ${ended} processes that a dead node process had left in ${paths.root}`,
  );
  return ExitCode.done;
}

async function askNode(paths: StatePaths, lock: StateLock, options: StopCommandOptions): Promise<ExitCode> {
  const { keepReplicas } = options;
  const dispatcher = new Agent({ connect: { socketPath: agentSocket(paths.sockets) } });
  try {
    const answer = await request('http://node/stop', {
      method: 'POST',
      dispatcher,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ keepReplicas }),
      headersTimeout: ANSWER_TIMEOUT_MS,
    });
    await answer.body.dump();
    if (answer.statusCode !== 200) throw new Error(`it answered ${answer.statusCode}`);
  } catch (cause) {
    throw new CommandFailure(
      `the ${lock.role} in ${paths.root} (pid ${lock.pid}) does not answer: ${messageOf(cause)}. It may still be starting; else end it with SIGTERM.`,
      ExitCode.unreachable,
      cause,
    );
  } finally {
    await dispatcher.close();
  }
  print(
    keepReplicas
      ? `ending the ${lock.role} (pid ${lock.pid}); its replicas serve on`
      : `draining the ${lock.role} (pid ${lock.pid})`,
  );
  if (await waitForExit(lock, STOP_TIMEOUT_MS)) return ExitCode.done;
  throw new CommandFailure(
    `the ${lock.role} (pid ${lock.pid}) has not ended within ${STOP_TIMEOUT_MS / 1000} s`,
    ExitCode.pending,
  );
}
