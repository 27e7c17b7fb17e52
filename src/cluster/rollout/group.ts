import type { Draft } from './draft.ts';
import { needsRestartForConfig, targetOf } from './specs.ts';
import type { RevisedSpec, Rollout } from './types.ts';
import { isHeardOf, type Member, type View } from './view.ts';

/** The replicas of one deployment, sorted by what they are to its target. */
export interface Group {
  readonly rollout: Rollout;
  readonly target: RevisedSpec | null;
  /** run the target's code, on nodes that stay */
  readonly current: readonly Member[];
  /** run the target's code, on nodes that leave */
  readonly departing: readonly Member[];
  /** run something else and may serve until they are replaced */
  readonly old: readonly Member[];
  /** run something else that nobody waits for: its spec failed, or was superseded before it answered */
  readonly discarded: readonly Member[];
  /** were told to drain earlier */
  readonly leaving: readonly Member[];
}

/** Sorts the replicas of a rollout. Its failure has to be judged before: it decides what the target is. */
export function groupOf(rollout: Rollout, view: View): Group {
  const target = targetOf(rollout);
  const mine = view.members.filter((member) => member.assignment.deployment === rollout.deployment);
  const leaving = mine.filter((member) => member.assignment.desired === 'drain');
  const running = mine.filter((member) => member.assignment.desired === 'run');
  const ofTarget = running.filter((member) => runsTarget(member, target));
  const others = running.filter((member) => !ofTarget.includes(member));
  const discarded = others.filter((member) => isDiscarded(member, rollout));
  return {
    rollout,
    target,
    current: ofTarget.filter((member) => !member.node.draining),
    departing: ofTarget.filter((member) => member.node.draining),
    old: others.filter((member) => !discarded.includes(member)),
    discarded,
    leaving,
  };
}

/** The group after a draft's drains: what shall drain counts as leaving from then on. */
export function afterDrains(group: Group, draft: Draft): Group {
  const stays = (member: Member) => !draft.isLeaving(member);
  const { current, departing, old, discarded } = group;
  const drained = [...current, ...departing, ...old, ...discarded].filter((member) => !stays(member));
  return {
    ...group,
    current: current.filter(stays),
    departing: departing.filter(stays),
    old: old.filter(stays),
    discarded: discarded.filter(stays),
    leaving: [...group.leaving, ...drained],
  };
}

/** How many replicas the target asks for. */
export function wantedReplicas(group: Group): number {
  return group.target?.spec.replicas ?? 0;
}

/** The current ones that have proved themselves. */
export function stableOf(group: Group): readonly Member[] {
  return group.current.filter((member) => member.status?.stable === true);
}

/** How many new replicas are on their way, those that are being started right now included. */
export function inFlight(group: Group, started: number): number {
  return group.current.length - stableOf(group).length + started;
}

/** Whether it need not be replaced for the target, as far as is known. */
export function runsTarget(member: Member, target: RevisedSpec | null): boolean {
  if (target === null || member.assignment.spec.hashes.replace !== target.spec.hashes.replace) return false;
  return member.status === null || !needsRestartForConfig(member.status, target);
}

/** What answers is kept until it is replaced, of a failed spec as well: there may be nothing else that answers. */
function isDiscarded(member: Member, { lastGood }: Rollout): boolean {
  if (member.assignment.spec.hashes.replace === lastGood?.spec.hashes.replace) return false;
  return isHeardOf(member) && member.status?.phase !== 'ready' && member.status?.phase !== 'suspect';
}
