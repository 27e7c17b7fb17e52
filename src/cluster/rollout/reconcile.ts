import { Draft } from './draft.ts';
import { drainDeparting, drainForWaiting, drainNeedless } from './drains.ts';
import { afterDrains, type Group, groupOf, runsTarget, stableOf, wantedReplicas } from './group.ts';
import { stateOf } from './health.ts';
import { carries, isProven } from './specs.ts';
import { type Shortfalls, startMissing } from './starts.ts';
import type { NewReplicaId, Plan, Rollout, World } from './types.ts';
import { isGood, judgeFailure } from './verdict.ts';
import { type Member, nameOf, type View, viewOf } from './view.ts';

/**
 * What to do next so that the cluster becomes what its rollouts say. Everything that reports tell is judged in one
 * pass, and a plan that was carried out asks for nothing more until reports change.
 *
 * To be called only when the rollouts are known: a replica whose deployment has no rollout is drained.
 */
export function reconcile(world: World, nowMs: number, newReplicaId: NewReplicaId): Plan {
  const view = viewOf(world);
  const judged = world.rollouts.map((rollout) => judgeFailure(rollout, view, nowMs));
  const draft = new Draft(view, newReplicaId);
  drainUnknown(view, judged, draft);
  let groups = judged.map((rollout) => groupOf(rollout, view));
  for (const drainSome of [drainNeedless, drainForWaiting]) {
    for (const group of groups) drainSome(group, draft);
    groups = groups.map((group) => afterDrains(group, draft));
  }
  const shortfalls = startMissing(groups, draft);
  for (const group of groups) drainDeparting(group, draft);
  groups = groups.map((group) => afterDrains(group, draft));
  const concluded = groups.map((group) => conclude(group, draft, shortfalls));
  const finished = groups.filter((group) => isOver(group, view)).map((group) => group.rollout.deployment);
  return {
    start: draft.starts,
    drain: draft.drains,
    forget: [...view.forget, ...view.lost.filter((member) => isReplaced(member, groups)).map(nameOf)],
    update: groups.flatMap((group) => updatesOf(group)),
    rollouts: concluded.map(({ rollout }) => rollout).filter((rollout) => !world.rollouts.includes(rollout)),
    finished,
    vanished: view.vanished,
    states: concluded
      .filter(({ rollout }) => !finished.includes(rollout.deployment))
      .map((group) => stateOf(group, view, shortfalls.get(group.rollout.deployment) ?? [])),
  };
}

function drainUnknown(view: View, rollouts: readonly Rollout[], draft: Draft): void {
  const known = new Set(rollouts.map((rollout) => rollout.deployment));
  draft.drain(
    view.members.filter(({ assignment }) => !known.has(assignment.deployment)),
    'no section names its deployment',
  );
}

/** The group with its rollout marked good, if it is that now. */
function conclude(group: Group, draft: Draft, shortfalls: Shortfalls): Group {
  const { rollout } = group;
  const { deployment, wanted, lastGood } = rollout;
  if (isProven(rollout) && lastGood?.revision === wanted?.revision) return group;
  const allPlaced = (shortfalls.get(deployment) ?? []).length === 0;
  if (draft.startsOf(deployment) > 0 || !isGood(group, allPlaced)) return group;
  return { ...group, rollout: { ...rollout, lastGood: wanted } };
}

function updatesOf(group: Group): Plan['update'] {
  const { target, current, departing } = group;
  if (target === null) return [];
  return [...current, ...departing]
    .filter((member) => !carries(member.assignment, target))
    .map(({ node, assignment }) => ({ nodeId: node.nodeId, replicaId: assignment.replicaId, to: target }));
}

/**
 * Whether what ran on a lost node is not needed any more. Until then it stays assigned: it may answer all the same, and
 * goes on as it is when its node comes back first.
 */
function isReplaced(lost: Member, groups: readonly Group[]): boolean {
  const group = groups.find(({ rollout }) => rollout.deployment === lost.assignment.deployment);
  if (group === undefined || group.target === null) return true;
  const stable = stableOf(group).length;
  return stable >= wantedReplicas(group) || (stable > 0 && !runsTarget(lost, group.target));
}

function isOver({ rollout }: Group, view: View): boolean {
  if (rollout.wanted !== null) return false;
  return !view.members.some(({ assignment }) => assignment.deployment === rollout.deployment);
}
