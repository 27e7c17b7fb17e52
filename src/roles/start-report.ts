import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Dispatcher, request } from 'undici';
import type { Agent } from '../agent/agent.ts';
import { httpAddress } from '../cluster/nodes/http-address.ts';
import type { NodeCapacity } from '../cluster/placement/types.ts';
import type { PinnedSpec } from '../cluster/spec/types.ts';
import { fetchLine } from '../cluster/status/fetch-line.ts';
import type { DeploymentStatus } from '../cluster/status/types.ts';
import { renderFinding } from '../config/finding.ts';
import { modelserveVersion } from '../config/version.ts';
import type { ApplyDesk } from '../controller/apply-desk.ts';
import type { ControlPlane } from '../controller/control-plane.ts';
import type { Leader } from '../controller/leader.ts';
import type { LeaderState } from '../controller/leader-state.ts';
import { messageOf } from '../lib/errors.ts';
import { isLoopback } from '../lib/loopback.ts';
import { clipped, shellWord, withDetails } from '../lib/text.ts';
import type { StoreServer } from '../store/types.ts';
import { advertisedAddress, formatHostPort } from './addresses.ts';
import type { HeadFlags } from './head-parts.ts';
import type { InitialConf } from './initial-conf.ts';
import type { Say } from './node.ts';
import { type NodeSecurity, scopeFor, tellOfEnd } from './node-security.ts';

export interface HeadFacts {
  readonly flags: HeadFlags;
  readonly server: StoreServer;
  readonly tokenFile: string;
  readonly security: NodeSecurity;
  readonly nodeId: string;
  readonly capacity: NodeCapacity;
}

/** What a head says of itself once it listens: never the token, but where it lies. */
export function announceHead(facts: HeadFacts, say: Say): void {
  const { flags, server, tokenFile, security, nodeId, capacity } = facts;
  const has = `${counted(capacity.cpuMilli / 1000, 'CPU')}, ${counted(capacity.gpus.length, 'GPU')}`;
  say(`modelserve ${modelserveVersion()}: head, node ${nodeId} with ${has}`);
  say(server.description);
  const scheme = security.tls.clients === null ? 'http' : 'https';
  say(`dashboard: ${scheme}://${formatHostPort(flags.dashboard)} (log in with the token in ${tokenFile})`);
  if (security.tls.clients === null && !isLoopback(flags.dashboard.host)) {
    say(
      '  (in clear: whoever is between sees the token of who logs in there, and keys. Add --tls, or listen on loopback and tunnel with ssh -L)',
    );
  }
  if (security.caFile !== null) {
    say(`clients trust the cluster's own certificates with ${security.caFile} (curl --cacert)`);
  }
  tellOfEnd(security, say);
  const where =
    flags.redisUrl === null
      ? `--address ${formatHostPort({ host: advertisedAddress(flags.host), port: flags.port })}`
      : '--redis URL';
  // A worker that is told nothing decides by its own address, as this head does.
  const expected = scopeFor({ scope: null, given: null }, advertisedAddress(flags.host));
  const tls = expected === security.scope ? '' : ` --tls ${security.scope}`;
  say(`workers join with: modelserve worker ${where}${tls} --token-file ${shellWord(tokenFile)}`);
  if (isLoopback(flags.host)) {
    say(
      '  (on this machine: the head listens on loopback. With --host ADDRESS others can join, given a copy of the token file)',
    );
  }
}

function counted(count: number, thing: string): string {
  return `${count === 0 ? 'no' : count} ${thing}${count === 1 ? '' : 's'}`;
}

export interface StartFacts {
  readonly conf: InitialConf;
  readonly agent: Agent;
  readonly state: LeaderState;
  readonly leader: Leader;
  readonly desk: ApplyDesk;
  readonly plane: ControlPlane;
  /** connections to the nodes' HTTP ports */
  readonly routes: Dispatcher;
  readonly security: NodeSecurity;
  /** the head was told to stop meanwhile */
  readonly isEnding: () => boolean;
}

/** Models that are fetched from servers may take long. */
const FETCHES_TOLD_MS = 5_000;
const LOOK_MS = 100;

/**
 * Applies conf.ini where it is due and tells what becomes of each deployment, until all serve or have said why not.
 * Does not throw.
 */
export async function followUntilReady(facts: StartFacts, say: Say): Promise<void> {
  try {
    await follow(facts, say);
  } catch (error) {
    say(`warning: ${messageOf(error)}; see \`modelserve status\``);
  }
}

async function follow(facts: StartFacts, say: Say): Promise<void> {
  await bringConf(facts, say);
  const showNews = newsOf(say);
  while (!facts.isEnding()) {
    const { deployments } = await facts.plane.status();
    const decided = hasDecided(facts);
    if (decided) showNews(deployments);
    if (decided && (await allHaveAnswered(deployments, facts))) {
      await sayReady(deployments, facts, say);
      return;
    }
    await delay(LOOK_MS);
  }
}

/** Whether the leader has looked at the newest revision: what it says of deployments before is of no interest. */
function hasDecided({ leader, state }: StartFacts): boolean {
  return state.revision === null || leader.published?.revision === state.revision.number;
}

/** Applies conf.ini where that is due, and is this head's to do. */
async function bringConf(facts: StartFacts, say: Say): Promise<void> {
  const stoodBy = await untilLeading(facts, say);
  if (stoodBy && facts.state.revision !== null) {
    say(`leads the cluster now: revision ${facts.state.revision.number} goes on`);
  } else {
    for (const note of facts.conf.notes) say(note);
    if (facts.conf.apply !== null && !facts.isEnding()) await applyFirst(facts.conf.apply, facts, say);
  }
}

/** Says a line per deployment, and again whenever it has changed. */
function newsOf(say: Say): (deployments: readonly DeploymentStatus[]) => void {
  const shown = new Map<string, string>();
  return (deployments) => {
    const nameWidth = Math.max(...deployments.map((one) => one.name.length));
    for (const one of deployments) {
      const line = startLine(one, nameWidth);
      if (shown.get(one.name) !== line) say(line);
      shown.set(one.name, line);
    }
  };
}

/**
 * Waits while another head leads, and at the first start until this one does.
 * @returns whether it stood by: what the cluster runs is not this head's to change then
 */
async function untilLeading({ plane, leader, state, isEnding }: StartFacts, say: Say): Promise<boolean> {
  let shown: string | null = null;
  while (leader.leadership === null && !isEnding()) {
    const other = await plane.otherLeader();
    if (other !== null && other !== shown) {
      say(`standing by: ${other} leads this cluster; this head takes over when that one is gone`);
    }
    shown = other ?? shown;
    if (shown === null && state.revision !== null) return false; // its store is away: it serves on meanwhile
    await delay(LOOK_MS);
  }
  return shown !== null;
}

async function applyFirst(confPath: string, facts: StartFacts, say: Say): Promise<void> {
  const telling = setInterval(() => {
    for (const fetch of facts.desk.fetches) say(fetchLine(fetch));
  }, FETCHES_TOLD_MS);
  try {
    const waiting = new AbortController(); // the head's end ends what it fetches
    const result = await facts.desk.apply({ confPath, upload: null }, waiting.signal);
    if (result.ok) say(`revision ${result.recorded.revision}: ${confPath}`);
    else for (const mistake of result.mistakes) say(`warning: ${renderFinding(mistake)}`);
  } catch (error) {
    say(`warning: ${confPath} was not applied: ${messageOf(error)}`);
  } finally {
    clearInterval(telling);
  }
}

/** A deployment that has not got its replicas yet is no trouble here: it starts. */
function startLine(one: DeploymentStatus, nameWidth: number): string {
  const starts = ['UPDATING', 'UNHEALTHY', 'DEGRADED'].includes(one.status);
  const isReady = one.ready >= one.target && (starts || one.status === 'HEALTHY');
  const word = isReady ? 'ready' : starts ? 'starting' : one.status;
  const line = `  ${one.name.padEnd(nameWidth)}  ${word.padEnd(8)}  ${one.ready}/${one.target}`;
  if (isReady || one.message === '') return line;
  // What has failed is told whole at the end.
  return `${line}  ${one.status === 'PENDING' ? one.message : clipped(one.message)}`;
}

/** Every deployment has all its replicas (and this node's ingress can reach one), or has failed, or cannot be placed. */
async function allHaveAnswered(
  deployments: readonly DeploymentStatus[],
  facts: StartFacts,
): Promise<boolean> {
  const answers = await Promise.all(
    deployments.map(async (one) => {
      if (one.status === 'DEPLOY_FAILED' || one.status === 'PENDING' || one.status === 'STOPPING')
        return true;
      return one.ready >= one.target && (one.target === 0 || (await isRouted(one.route, facts)));
    }),
  );
  return answers.every(Boolean);
}

async function isRouted(route: string, { agent, routes }: StartFacts): Promise<boolean> {
  try {
    const answer = await request(`${httpAddress(agent.record)}/-/readyz${route}`, { dispatcher: routes });
    await answer.body.dump();
    return answer.statusCode === 200;
  } catch {
    return false;
  }
}

async function sayReady(
  deployments: readonly DeploymentStatus[],
  facts: StartFacts,
  say: Say,
): Promise<void> {
  const base = httpAddress(facts.agent.record);
  const serving = deployments.filter((one) => one.ready > 0);
  const failed = deployments.filter((one) => one.status === 'DEPLOY_FAILED');
  for (const one of failed) say(withDetails(`${one.name}: ${one.message}`, one.error ?? ''));
  if (deployments.length === 0) {
    say(
      `ready at ${base}, with nothing to serve yet: write a section into conf.ini and run \`modelserve controller\``,
    );
    return;
  }
  const count =
    serving.length === deployments.length
      ? `${serving.length}`
      : `${serving.length} of ${deployments.length}`;
  say(`ready: ${count} deployment${deployments.length === 1 ? '' : 's'} at ${base}`);
  const first = serving[0];
  const spec = facts.state.revision?.deployments.find((candidate) => candidate.name === first?.name);
  if (first !== undefined && spec !== undefined)
    say(`try it:\n  ${await curlLine(`${base}${first.route}`, spec, facts.security)}`);
}

/** A line to copy; the package's `example.json` is its body where there is one. */
async function curlLine(url: string, spec: PinnedSpec, { caFile }: NodeSecurity): Promise<string> {
  const file = join(spec.package.snapshotDir, 'algopkg', spec.packageName, 'example.json');
  const method = spec.methods.includes('GET') ? 'GET' : 'POST';
  const example = await exampleIn(file);
  const trust = caFile === null ? '' : ` --cacert ${shellWord(caFile)}`;
  return `curl${trust} -X ${method} ${url} -H 'content-type: application/json' -d ${shellWord(example)}`;
}

/** On one line; an example that is none does not keep the head from being ready. */
async function exampleIn(file: string): Promise<string> {
  if (!existsSync(file)) return '{}';
  const text = await readFile(file, 'utf8');
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return '{}';
  }
}
