import { setTimeout as delay } from 'node:timers/promises';
import type { TokenState } from '../admin/types.ts';
import type { RotationPhase } from '../cluster/rotation/types.ts';
import { codeOf, messageOf } from '../lib/errors.ts';
import type { AdminClient } from './admin-client.ts';
import { CommandFailure, ExitCode } from './exit.ts';
import { print, printJson } from './output.ts';

export interface RotateOptions {
  readonly isCancelled: boolean;
  /** see TokenDesk.rotate */
  readonly timeoutS: number;
}

const POLL_MS = 200;
/** A head that is being started anew, or elected, is away for a moment. */
const AWAY_MS = 60_000;

const PHASES: Readonly<Record<RotationPhase, string>> = {
  accept: 'every node accepts the new token beside the old one',
  use: 'every node shows the new token',
  drop: 'the old token is accepted no more',
  back: 'every node shows the old token again',
  restore: 'the new token is accepted no more',
};

export async function tokenStatusCommand(client: AdminClient, isJson: boolean): Promise<ExitCode> {
  const state = await client.token();
  if (isJson) {
    printJson(state);
    return ExitCode.done;
  }
  print(`token ${state.id} of cluster ${state.cluster}; it lies in ${state.file} on the head`);
  const { rotation } = state;
  if (rotation === null) return ExitCode.done;
  const { from, to, phase, reason, startedAt } = rotation;
  const how = phase === null ? outcome(reason) : `under way: ${phase}, ${PHASES[phase]}`;
  print(`replacement of ${from} by ${to}, begun at ${startedAt}: ${how}`);
  if (phase !== null) for (const line of nodeLines(rotation)) print(line);
  return ExitCode.done;
}

/**
 * Begins to replace the token, or goes back, and shows how all nodes follow.
 * @param connect made anew each time: the token in a file is another as soon as the head shows the new one
 */
export async function rotateCommand(
  connect: () => Promise<AdminClient>,
  { isCancelled, timeoutS }: RotateOptions,
): Promise<ExitCode> {
  const client = await connect();
  const begun = isCancelled ? await client.cancelRotation() : await client.rotateToken(timeoutS);
  const last = await followed(connect, begun);
  const { rotation, file } = last;
  if (rotation !== null && rotation.reason !== null) {
    if (isCancelled) {
      print('cancelled: the old token stays');
      return ExitCode.done;
    }
    throw new CommandFailure(
      `${outcome(rotation.reason)}. See what is wrong with that node (\`modelserve logs --component agent\`), and try again.`,
      ExitCode.failed,
    );
  }
  print(`replaced: the new token lies in ${file} on the head`);
  for (const line of whatIsLeft(last)) print(line);
  return ExitCode.done;
}

/** Shows each phase and each node that follows it, to the end. */
async function followed(connect: () => Promise<AdminClient>, begun: TokenState): Promise<TokenState> {
  let last = begun;
  let shown = '';
  let seenMs = performance.now();
  for (;;) {
    const { rotation } = last;
    if (rotation === null || rotation.phase === null) return last;
    const lines = [`${rotation.phase}: ${PHASES[rotation.phase]}`, ...nodeLines(rotation)];
    const picture = lines.join('\n');
    if (picture !== shown) print(picture);
    shown = picture;
    await delay(POLL_MS);
    const now = await looked(connect, last);
    if (now !== null) seenMs = performance.now();
    else if (performance.now() - seenMs > AWAY_MS) return (await connect()).token();
    last = now ?? last;
  }
}

/** How far it has come; null: nobody answers at the moment. */
async function looked(connect: () => Promise<AdminClient>, last: TokenState): Promise<TokenState | null> {
  try {
    return await (await connect()).token();
  } catch (error) {
    const { rotation } = last;
    return rotation !== null && isEndOfOldKey(error, last)
      ? { ...last, rotation: { ...rotation, phase: null } }
      : null;
  }
}

/** This command was given the old token itself: that it is refused now is what was asked for. */
function isEndOfOldKey(error: unknown, { rotation }: TokenState): boolean {
  const isRefused = codeOf(error) === 'TOKEN_REFUSED' || messageOf(error).includes('is not trusted');
  return isRefused && (rotation?.phase === 'use' || rotation?.phase === 'drop');
}

function nodeLines({ nodes }: NonNullable<TokenState['rotation']>): readonly string[] {
  return nodes.map(({ node, done }) => `  ${node}  ${done ? 'done' : 'waiting'}`);
}

function outcome(reason: string | null): string {
  return reason === null ? 'done' : `the old token stays: ${reason}`;
}

function whatIsLeft({ store }: TokenState): readonly string[] {
  return [
    'What was given out before is refused from now on. Give out anew:',
    '  the token file, where nodes are started with a copy of it (they go on with their own record of it until then)',
    '  API keys (`modelserve key api`) of scripts, viewers’ keys (`modelserve key viewer`), the dashboard’s logins',
    '  the metrics key (`modelserve key metrics`) of Prometheus',
    '  tls/ca.pem of the head, where clients trust certificates of the cluster’s own',
    ...(store === 'given'
      ? ['The password of the store that was given with --redis is yours, and was not changed.']
      : []),
  ];
}
