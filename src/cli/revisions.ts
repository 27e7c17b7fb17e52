import type { Mistaken } from '../admin/types.ts';
import type { RevisionSummary } from '../cluster/status/types.ts';
import type { AdminClient } from './admin-client.ts';
import { renderPlan } from './apply-view.ts';
import { conclude, type FollowOptions } from './controller.ts';
import { ExitCode } from './exit.ts';
import { print, printError, printJson } from './output.ts';
import { table } from './table.ts';

/** `modelserve revisions`: what was applied. */
export async function revisionsCommand(client: AdminClient, json: boolean): Promise<ExitCode> {
  const { revisions } = await client.revisions();
  if (json) printJson(revisions);
  else if (revisions.length === 0) print('nothing was applied yet');
  else
    print(table(['revision', 'at', 'how', 'deployments', 'serving as it brought them'], revisions.map(row)));
  return ExitCode.done;
}

function row({ number, createdAt, origin, confPath, deployments, inForce, isNewest }: RevisionSummary) {
  const how = { file: confPath, edited: `${confPath}, edited`, rollback: '' }[origin.kind];
  return [
    `${number}${isNewest ? ' (newest)' : ''}`,
    createdAt.replace('T', ' ').slice(0, 19),
    origin.kind === 'rollback' ? `back to ${origin.of}` : how,
    String(deployments.length),
    inForce.join(', ') || '–',
  ];
}

/** `modelserve diff`: what going from one revision to another changes. */
export async function diffCommand(
  client: AdminClient,
  range: { readonly from: number; readonly to: number | null },
  json: boolean,
): Promise<ExitCode> {
  const to = range.to ?? (await client.status()).revision;
  const diff = await client.diff(range.from, to);
  if (json) printJson(diff);
  else print(renderPlan(diff));
  return ExitCode.done;
}

/** `modelserve rollback`: an earlier revision's content as a new one, followed until it is in force. */
export async function rollbackCommand(
  client: AdminClient,
  number: number,
  options: FollowOptions & { readonly dryRun: boolean },
): Promise<ExitCode> {
  if (options.dryRun) {
    const plan = await client.planRollback(number);
    if (options.json) printJson(plan);
    else if (plan.ok) print(renderPlan(plan));
    return plan.ok ? ExitCode.done : refused(plan);
  }
  const answer = await client.rollback(number);
  return answer.ok ? await conclude(client, answer, options) : refused(answer);
}

function refused({ mistakes }: Mistaken): ExitCode {
  for (const mistake of mistakes) printError(mistake);
  return ExitCode.usage;
}
