import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ApplyAnswer, ApplySource, Mistaken } from '../admin/types.ts';
import { fetchLine } from '../cluster/status/fetch-line.ts';
import type { ModelFetch, Progress } from '../cluster/status/types.ts';
import { compileConf } from '../config/compile.ts';
import { renderFinding } from '../config/finding.ts';
import { withDetails } from '../lib/text.ts';
import type { AdminClient } from './admin-client.ts';
import { renderPlan } from './apply-view.ts';
import { CommandFailure, ExitCode } from './exit.ts';
import { endProgress, print, printError, printJson, printProgress } from './output.ts';
import { progressView } from './progress-view.ts';
import { sourceFor } from './upload.ts';

export interface ControllerOptions extends FollowOptions {
  readonly conf: string;
  readonly dryRun: boolean;
}

/** How a change that was recorded is followed. */
export interface FollowOptions {
  readonly json: boolean;
  readonly wait: boolean;
  /** ends with code 3 when nothing has moved for this long */
  readonly timeoutMs: number;
  /** nobody waits for the outcome any more: what was recorded goes on without this command */
  readonly signal?: AbortSignal;
}

const POLL_MS = 100;
const FETCHES_TOLD_MS = 3_000;

/** `modelserve controller`: validate, show the plan, apply, follow the rollout to its end. */
export async function controllerCommand(
  connect: () => Promise<AdminClient>,
  options: ControllerOptions,
): Promise<ExitCode> {
  const conf = resolve(options.conf);
  const compiled = await compileConf(conf); // first here: mistakes are told without a cluster, too
  if (!compiled.ok)
    return refuse(compiled.mistakes.map(renderFinding), compiled.warnings.map(renderFinding), options);
  const client = await connect();
  const source = await sourceFor(client, compiled.conf, options.json ? () => undefined : printProgress);
  endProgress();
  return options.dryRun ? await dryRun(client, source, options) : await apply(client, source, options);
}

async function dryRun(
  client: AdminClient,
  source: ApplySource,
  options: ControllerOptions,
): Promise<ExitCode> {
  const answer = await client.plan(source);
  if (!answer.ok) return refuseMistaken(answer, options);
  if (options.json) printJson(answer);
  else {
    for (const warning of answer.warnings) printError(`warning: ${warning}`);
    print(renderPlan(answer));
  }
  return ExitCode.done;
}

async function apply(
  client: AdminClient,
  source: ApplySource,
  options: ControllerOptions,
): Promise<ExitCode> {
  const answer = await client.apply(source, fetchView(options));
  return answer.ok ? await conclude(client, answer, options) : refuseMistaken(answer, options);
}

/** Shows what was recorded, and follows it until it is in force. @throws CommandFailure where it does not come to that */
export async function conclude(
  client: AdminClient,
  answer: ApplyAnswer,
  options: FollowOptions,
): Promise<ExitCode> {
  if (!options.json) {
    for (const warning of answer.warnings) printError(`warning: ${warning}`);
    print(renderPlan(answer));
    if (answer.outcome === 'recorded') print(`Revision ${answer.revision}:`);
  }
  if (!options.wait) {
    if (options.json) printJson(answer);
    return ExitCode.done;
  }
  const progress = await follow(client, answer, options);
  if (options.signal?.aborted) return ExitCode.pending;
  if (options.json) printJson({ ...answer, progress });
  requireInForce(progress, options);
  if (!options.json) print(`Revision ${progress.revision} is in force.`);
  return ExitCode.done;
}

/** Says every few seconds how far the models are that are fetched from servers. */
function fetchView({ json }: ControllerOptions): (fetches: readonly ModelFetch[]) => void {
  let toldAtMs = Number.NEGATIVE_INFINITY;
  return (fetches) => {
    if (json || performance.now() - toldAtMs < FETCHES_TOLD_MS) return;
    if (fetches.length > 0) toldAtMs = performance.now();
    for (const fetch of fetches) print(`  ${fetchLine(fetch)}`);
  };
}

/** Watches until the revision has ended one way or the other, is superseded, or nothing moves any more. */
async function follow(client: AdminClient, answer: ApplyAnswer, options: FollowOptions): Promise<Progress> {
  const terminal = process.stdout.isTTY ? process.stdout : null;
  const show = options.json ? () => undefined : progressView(answer, terminal);
  let last = '';
  let movedAt = performance.now();
  for (;;) {
    const progress = await client.progress(answer.revision, answer.deployments);
    show(progress);
    if (progress.done || progress.supersededBy !== null) return progress;
    const picture = JSON.stringify(progress);
    if (picture !== last || progress.deployments.some((one) => one.moving)) movedAt = performance.now();
    last = picture;
    if (performance.now() - movedAt > options.timeoutMs || options.signal?.aborted) return progress;
    await delay(POLL_MS);
  }
}

/** @throws CommandFailure (conflict, failed, pending) saying why the revision is not in force */
function requireInForce(progress: Progress, options: FollowOptions): void {
  if (progress.supersededBy !== null) {
    throw new CommandFailure(
      `revision ${progress.revision} was superseded by revision ${progress.supersededBy} before it was in force`,
      ExitCode.conflict,
    );
  }
  const failed = progress.deployments.filter((one) => one.failed);
  for (const one of failed) printError(withDetails(`${one.name}: ${one.message}`, one.error ?? ''));
  if (failed.length > 0) {
    const names = failed.map((one) => one.name).join(', ');
    const instead = failed.every((one) => one.ready > 0) ? '; what served before serves on' : '';
    throw new CommandFailure(`revision ${progress.revision} failed for ${names}${instead}`, ExitCode.failed);
  }
  if (progress.done) return;
  const pending = progress.deployments
    .filter((one) => !one.settled)
    .map((one) => `${one.name}: ${one.status} ${one.message}`);
  const slow = progress.waitingFor.map(
    (nodeId) => `node ${nodeId}: its ingress does not serve the new state yet`,
  );
  throw new CommandFailure(
    [
      `no progress for ${options.timeoutMs / 1000} s; revision ${progress.revision} stays wanted:`,
      ...pending,
      ...slow,
    ].join('\n  '),
    ExitCode.pending,
  );
}

function refuseMistaken(answer: Mistaken, options: ControllerOptions): ExitCode {
  return refuse(answer.mistakes, answer.warnings, options);
}

function refuse(
  mistakes: readonly string[],
  warnings: readonly string[],
  options: ControllerOptions,
): ExitCode {
  if (options.json) printJson({ ok: false, mistakes, warnings });
  for (const line of mistakes) printError(line);
  for (const line of warnings) printError(`warning: ${line}`);
  const count = mistakes.length === 1 ? '1 mistake' : `${mistakes.length} mistakes`;
  printError(`${count} in ${options.conf}; nothing was changed.`);
  return ExitCode.usage;
}
