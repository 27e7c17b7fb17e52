import pc from 'picocolors';
import type { PlannedChange } from '../cluster/spec/types.ts';
import type { DeploymentProgress } from '../cluster/status/types.ts';

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

/** The plan as text: a line per deployment, and one per key that differs. */
export function renderPlan(changes: readonly PlannedChange[]): string {
  if (changes.length === 0) return 'Nothing changes.';
  return changes.map(renderChange).join('\n');
}

function renderChange(change: PlannedChange): string {
  const strongest = change.effects.at(-1);
  const effect = change.kind === 'changed' && strongest !== undefined ? `: ${EFFECT_WORDS[strongest]}` : '';
  const lines = change.differences.map(
    ({ key, from, to }) => `      ${key}: ${shorten(from)} → ${shorten(to)}`,
  );
  return [`  ${KIND_WORDS[change.kind]} ${pc.bold(change.deployment)}${effect}`, ...lines].join('\n');
}

function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** One line of progress of a deployment. */
export function renderProgress(one: DeploymentProgress): string {
  const state = one.failed ? pc.red(one.status) : one.settled ? pc.green(one.status) : pc.yellow(one.status);
  const counts = one.status === 'GONE' ? '' : ` ${one.ready}/${one.target} ready`;
  const doing = one.settled || one.failed ? '' : (one.replicas.at(-1) ?? '');
  const message = one.message === '' ? doing : one.message;
  return `  ${pc.bold(one.name)}  ${state}${counts}${message === '' ? '' : `  ${message}`}`;
}
