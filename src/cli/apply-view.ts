import pc from 'picocolors';
import type { PlanAnswer } from '../admin/types.ts';
import type { PlannedChange } from '../cluster/spec/types.ts';
import type { DeploymentProgress, PreparationProgress } from '../cluster/status/types.ts';
import { SETTINGS_SECTION } from '../config/schema.ts';
import { clipped } from '../lib/text.ts';

const EFFECT_WORDS = {
  routing: 'routing only, no process is touched',
  scale: 'replicas are started or drained',
  reconfigure: 'reconfigured in place, same processes',
  replace: 'new replicas, then the old ones drain',
} as const;

const KIND_WORDS = {
  added: pc.green('+ added'),
  removed: pc.red('- removed'),
  changed: pc.yellow('~ changed'),
  retried: pc.yellow('~ tried again'),
} as const;

/** The plan as text: a line per section of conf.ini that changes anything, and one per key that differs. */
export function renderPlan({ changes, settings }: Pick<PlanAnswer, 'changes' | 'settings'>): string {
  if (changes.length + settings.length === 0) return 'Nothing changes.';
  const ofNodes = settings.length === 0 ? [] : [renderSettings(settings)];
  return [...ofNodes, ...changes.map(renderChange)].join('\n');
}

function renderSettings(settings: PlanAnswer['settings']): string {
  const head = `  ${KIND_WORDS.changed} ${pc.bold(`[${SETTINGS_SECTION}]`)}: every node follows`;
  return [head, ...settings.map(renderDifference)].join('\n');
}

function renderChange(change: PlannedChange): string {
  const strongest = change.effects.at(-1);
  const effect = change.kind === 'changed' && strongest !== undefined ? `: ${EFFECT_WORDS[strongest]}` : '';
  const lines = change.differences.map(renderDifference);
  if (change.environment !== undefined) lines.push(`      environment: ${change.environment}`);
  return [`  ${KIND_WORDS[change.kind]} ${pc.bold(change.deployment)}${effect}`, ...lines].join('\n');
}

function renderDifference({ key, from, to }: PlanAnswer['settings'][number]): string {
  return `      ${key}: ${shorten(from)} → ${shorten(to)}`;
}

function shorten(text: string): string {
  if (text === '') return 'none';
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** One line of progress of a deployment; `nameWidth` puts those of several below each other. */
export function renderProgress(one: DeploymentProgress, nameWidth: number): string {
  const paint = one.failed ? pc.red : one.settled ? pc.green : pc.yellow;
  const name = `  ${pc.bold(one.name.padEnd(nameWidth))}  `;
  if (one.status === 'GONE') return `${name}${paint(one.status)}`;
  const state = `${name}${paint(one.status.padEnd(8))}`;
  const message = one.status === 'PENDING' ? one.message : clipped(messageOf(one)); // a failure is told whole at the end
  return `${state}  ${one.ready}/${one.target} ready${message === '' ? '' : `  ${message}`}`;
}

/** What is prepared is told by lines of its own, node by node. */
function messageOf({ preparing, message }: DeploymentProgress): string {
  if (preparing.length === 0) return message;
  return `preparing on ${preparing.length === 1 ? '1 node' : `${preparing.length} nodes`}`;
}

/** What one node prepares for a deployment, with how long it has been at it. */
export function renderPreparation(
  deployment: string,
  { node, line, forMs }: PreparationProgress,
  nameWidth: number,
): string {
  const doing = line === '' ? 'beginning' : clipped(line);
  return `  ${deployment.padEnd(nameWidth)}  ${pc.dim(`${node}  ${secondsText(forMs)}  ${doing}`)}`;
}

/** `8 s`, `2 min 5 s`. */
export function secondsText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
