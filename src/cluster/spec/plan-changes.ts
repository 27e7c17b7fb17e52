import type { Rollout } from '../rollout/types.ts';
import type { Effect, PinnedSpec, PlannedChange } from './types.ts';

/** From the least to the most far-reaching. */
const EFFECTS: readonly Effect[] = ['routing', 'scale', 'reconfigure', 'replace'];

/** What tells two specs of a deployment apart, per conf.ini key: what compiles specs provides it. */
type SpecDifferences = (
  from: PinnedSpec,
  to: PinnedSpec,
) => readonly { readonly key: string; readonly from: string; readonly to: string }[];

/**
 * What applying a conf.ini would change, compared with what was applied last (not with what serves: after a failure
 * that is older). In the order of the file, removed sections last; empty: nothing to do at all.
 */
export function planChanges(
  before: readonly Rollout[],
  after: readonly PinnedSpec[],
  differences: SpecDifferences,
): PlannedChange[] {
  const known = new Map(before.map((rollout) => [rollout.deployment, rollout]));
  const named = new Set(after.map((spec) => spec.name));
  const planned = after.flatMap((spec) => plannedFor(known.get(spec.name), spec, differences));
  const removed = before
    .filter((rollout) => rollout.wanted !== null && !named.has(rollout.deployment))
    .map(
      (rollout) =>
        ({ deployment: rollout.deployment, kind: 'removed', effects: [], differences: [] }) as const,
    );
  return [...planned, ...removed];
}

function plannedFor(
  rollout: Rollout | undefined,
  spec: PinnedSpec,
  differences: SpecDifferences,
): PlannedChange[] {
  const deployment = spec.name;
  if (rollout === undefined || rollout.wanted === null) {
    return [{ deployment, kind: 'added', effects: [], differences: [] }];
  }
  const from = rollout.wanted.spec;
  const effects = EFFECTS.filter((effect) => from.hashes[effect] !== spec.hashes[effect]);
  if (effects.length > 0) {
    const pairs = differences(from, spec).map(({ key, from: old, to }) => ({ key, from: old, to }));
    return [{ deployment, kind: 'changed', effects, differences: pairs }];
  }
  if (rollout.failure === null) return [];
  return [{ deployment, kind: 'retried', effects: [], differences: [] }];
}
