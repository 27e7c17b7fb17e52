import { setTimeout as delay } from 'node:timers/promises';
import pc from 'picocolors';
import type { DeploymentStatus, NodeStatus, ReplicaDetail, StatusDocument } from '../cluster/status/types.ts';
import { withDetails } from '../lib/text.ts';
import type { AdminClient } from './admin-client.ts';
import { secondsText } from './apply-view.ts';
import { ExitCode } from './exit.ts';
import { print, printJson } from './output.ts';
import { table } from './table.ts';

export interface StatusOptions {
  readonly json: boolean;
  readonly watch: boolean;
  readonly signal: AbortSignal;
}

const WATCH_MS = 1_000;

/** `modelserve status`: nodes, GPUs, deployments, replicas, what is wrong and what to do. */
export async function statusCommand(client: AdminClient, options: StatusOptions): Promise<ExitCode> {
  if (options.watch) return await watch(client, options);
  const document = await client.status();
  if (options.json) printJson(document);
  else print(renderStatus(document));
  return ExitCode.done;
}

/** Prints the status whenever it has changed: over the last one on a terminal, below it elsewhere. */
async function watch(client: AdminClient, options: StatusOptions): Promise<ExitCode> {
  const clear = process.stdout.isTTY && !options.json ? '\u001b[2J\u001b[H' : '';
  let last = '';
  while (!options.signal.aborted) {
    const document = await client.status();
    const text = options.json ? JSON.stringify(document) : renderStatus(document);
    if (text !== last) print(`${clear}${text}`);
    last = text;
    await delay(WATCH_MS, undefined, { signal: options.signal }).catch(() => undefined);
  }
  return ExitCode.done;
}

function renderStatus(document: StatusDocument): string {
  const store = document.store.ok
    ? `${document.store.kind} ok`
    : pc.red(`${document.store.kind} not reachable: what runs goes on, changes wait`);
  const leader = document.leader ?? pc.red('none: changes wait');
  return [
    `cluster ${document.cluster}  revision ${document.revision}  leader ${leader}  store ${store}`,
    '',
    table(['node', 'role', 'address', 'http', 'cpus', 'GPUs (free)', 'state'], document.nodes.map(nodeRow)),
    '',
    document.deployments.length === 0
      ? 'no deployments: write a section into conf.ini and run `modelserve controller`'
      : table(
          ['deployment', 'route', 'status', 'revision', 'ready', 'message'],
          document.deployments.map(deploymentRow),
        ),
    ...document.deployments.flatMap((one) => (one.replicas.length === 0 ? [] : ['', replicaTable(one)])),
    ...tokenRotation(document),
    ...problems(document),
    ...lostRequests(document),
  ].join('\n');
}

function nodeRow(node: NodeStatus): readonly string[] {
  const gpus = node.gpus.map((gpu) => {
    const kind = gpu.virtual ? 'virtual' : gpu.name;
    return `${gpu.index} ${kind}: ${gpu.usable ? gpu.free : pc.red(`unusable, ${gpu.reason ?? ''}`)}`;
  });
  const state = !node.alive ? pc.red('lost') : node.draining ? pc.yellow('leaving') : pc.green('alive');
  return [node.id, node.role, node.address, node.http, String(node.cpus), gpus.join('\n') || '–', state];
}

function deploymentRow(one: DeploymentStatus): readonly string[] {
  const revision =
    one.serving_revision !== null && one.revision !== null && one.serving_revision !== one.revision
      ? `${one.revision}; still on ${one.serving_revision}`
      : String(one.revision ?? '–');
  return [one.name, one.route, colour(one.status), revision, `${one.ready}/${one.target}`, wrap(one.message)];
}

function replicaTable(one: DeploymentStatus): string {
  return `${pc.bold(one.name)}\n${table(['replica', 'node', 'pid', 'phase', 'rev', 'GPU', 'restarts', 'message'], one.replicas.map(replicaRow))}`;
}

function replicaRow(replica: ReplicaDetail): readonly string[] {
  const gpus = replica.gpus.map((slice) => `${slice.index}: ${slice.fraction}`).join(', ');
  const { id, node, pid, phase, revision, restarts } = replica;
  const message = phase === 'preparing' ? timed(replica) : replica.message;
  return [
    id,
    node,
    String(pid ?? '–'),
    phase,
    String(revision),
    gpus || '–',
    String(restarts),
    wrap(message),
  ];
}

/** Of what takes long it is worth to know how long it has been so. */
function timed({ since, message }: ReplicaDetail): string {
  return since === null ? message : `for ${secondsText(Date.now() - Date.parse(since))}: ${message}`;
}

function colour(status: DeploymentStatus['status']): string {
  if (status === 'HEALTHY') return pc.green(status);
  return status === 'UNHEALTHY' || status === 'DEPLOY_FAILED' ? pc.red(status) : pc.yellow(status);
}

/** Which nodes it waits for, where the token is being replaced. A head of an earlier version says nothing of it. */
function tokenRotation({ token_rotation: rotation }: StatusDocument): readonly string[] {
  if (!rotation) return [];
  const { phase, since, reason, waiting_for: waiting } = rotation;
  const what = reason === null ? 'the token is being replaced' : `the old token comes back (${reason})`;
  const who = waiting.length === 0 ? 'all nodes have followed' : `waits for ${waiting.join(', ')}`;
  return ['', pc.yellow(`${what}: ${phase} since ${since}, ${who}. See \`modelserve token status\`.`)];
}

/** What is wrong, with the backend's own words. */
function problems(document: StatusDocument): readonly string[] {
  return document.deployments
    .filter((one) => one.error !== null)
    .flatMap((one) => ['', withDetails(pc.red(`${one.name}: ${one.message}`), one.error ?? '')]);
}

const SHOWN_LOST = 5;

/** Requests that died with their replicas: what they carry is the first suspect. */
function lostRequests(document: StatusDocument): readonly string[] {
  return document.deployments.flatMap(({ name, lost_requests }) => {
    if (lost_requests.length === 0) return [];
    const rows = lost_requests
      .slice(0, SHOWN_LOST)
      .map(({ request_id, path, deaths, at }) => [request_id, path, String(deaths), at]);
    const title = pc.yellow(`${name}: requests given up because replicas died with them`);
    return ['', `${title}\n${table(['request id', 'path', 'deaths', 'at'], rows)}`];
  });
}

function wrap(text: string): string {
  return text.replace(/(.{1,60})(\s+|$)/g, '$1\n').trimEnd();
}
