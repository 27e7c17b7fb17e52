import { reasonsText } from '../placement/reasons.ts';
import type { Group } from './group.ts';
import { sameSpec } from './specs.ts';
import type { DeploymentHealth, DeploymentState, Rollout } from './types.ts';
import type { Member, View } from './view.ts';

/** What is said of a deployment, to a person and to the command that waits for it. */
export function stateOf(group: Group, view: View, unplaced: readonly string[]): DeploymentState {
  const { rollout } = group;
  const running = [...group.current, ...group.departing, ...group.old, ...group.discarded];
  const ready = running.filter((member) => member.status?.phase === 'ready').length;
  const target = (group.target ?? rollout.wanted)?.spec.replicas ?? 0;
  const health = healthOf(rollout, { ready, target, unplaced: unplaced.length > 0 });
  const message = [messageFor(health, group, { ready, target, unplaced }), vanishedNotice(view)]
    .filter((part) => part !== '')
    .join('; ');
  const settled = isSettled(rollout) && unplaced.length === 0;
  return { deployment: rollout.deployment, health, message, target, ready, settled, unplaced };
}

interface Counts {
  readonly ready: number;
  readonly target: number;
}

function healthOf(rollout: Rollout, facts: Counts & { readonly unplaced: boolean }): DeploymentHealth {
  if (rollout.wanted === null) return 'STOPPING';
  if (rollout.failure !== null) return 'DEPLOY_FAILED';
  if (facts.unplaced) return 'PENDING';
  if (!isSettled(rollout)) return 'UPDATING';
  if (facts.ready >= facts.target) return 'HEALTHY';
  return facts.ready === 0 ? 'UNHEALTHY' : 'DEGRADED';
}

function isSettled({ wanted, lastGood, failure }: Rollout): boolean {
  if (wanted === null || lastGood === null || failure !== null) return false;
  return wanted.revision === lastGood.revision && sameSpec(wanted.spec, lastGood.spec);
}

function messageFor(
  health: DeploymentHealth,
  group: Group,
  facts: Counts & { readonly unplaced: readonly string[] },
): string {
  switch (health) {
    case 'STOPPING':
      return `${replicasText(memberCount(group))} still to leave`;
    case 'DEPLOY_FAILED':
      return failedMessage(group.rollout, facts);
    case 'PENDING':
      return `${facts.ready} of ${facts.target} ready; no room: ${reasonsText(facts.unplaced)}`;
    case 'UPDATING':
      return updatingMessage(group);
    case 'HEALTHY':
      return '';
    default:
      return [`${facts.ready} of ${facts.target} ready`, ...troubles(group)].join('; ');
  }
}

function failedMessage(
  { failure, lastGood }: Rollout,
  { ready, target, unplaced }: Counts & { readonly unplaced: readonly string[] },
): string {
  const what = `revision ${failure?.revision} failed: ${failure?.message}`;
  const instead =
    lastGood === null
      ? 'nothing is served; correct it and apply again'
      : `revision ${lastGood.revision} is kept instead (${ready} of ${target} ready); correct it and apply again`;
  const room = unplaced.length === 0 ? [] : [`no room for all of its replicas: ${reasonsText(unplaced)}`];
  return [what, instead, ...room].join('; ');
}

function updatingMessage(group: Group): string {
  const old = group.old.length + group.discarded.length + group.leaving.length;
  const before = old === 0 ? [] : [`${old === 1 ? '1 old replica' : `${old} old replicas`} still to leave`];
  const doing = troubles(group);
  return [...(doing.length > 0 ? doing : proving(group)), ...before].join('; ');
}

/** Why a deployment whose replicas all answer is not settled yet. */
function proving({ current, target }: Group): readonly string[] {
  const unproven = current.filter(({ status }) => status?.phase === 'ready' && !status.stable);
  if (unproven.length === 0 || target === null) return [];
  return [`must stay ready for ${target.spec.minReadyMs / 1000} s`];
}

/** What replicas do that do not serve, counted where they do the same: at most three, so that a line stays a line. */
function troubles(group: Group): readonly string[] {
  const texts = [...group.current, ...group.departing]
    .filter(({ status }) => status !== null && status.phase !== 'ready')
    .map(troubleOf);
  return [...new Set(texts)].slice(0, 3).map((text) => {
    const count = texts.filter((other) => other === text).length;
    return count === 1 ? text : `${count} replicas ${text}`;
  });
}

/** One that has failed before is named; of others it matters only what they do. */
function troubleOf({ assignment, status }: Member): string {
  const { phase, failure = null, message = '', startFailures = 0 } = status ?? {};
  const looping = startFailures >= 3 ? ' (crash-looping)' : '';
  const text = phase === 'pending' || phase === 'preparing' ? message : (failure?.message ?? message);
  const who = failure === null ? '' : `replica ${assignment.replicaId} ${phase === 'failed' ? '' : 'is '}`;
  return `${who}${phase}${looping}${text === '' ? '' : `: ${text}`}`;
}

function vanishedNotice(view: View): string {
  if (view.vanished.length === 0) return '';
  return `${view.vanished.length} of ${view.nodes.length} nodes vanished together (${view.vanished.join(', ')}): nothing is moved until they are back or forgotten`;
}

function memberCount(group: Group): number {
  return (
    group.current.length +
    group.departing.length +
    group.old.length +
    group.discarded.length +
    group.leaving.length
  );
}

function replicasText(count: number): string {
  return count === 1 ? '1 replica' : `${count} replicas`;
}
