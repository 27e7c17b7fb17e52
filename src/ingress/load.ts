import type { Casualty } from '../cluster/replicas/types.ts';
import { MOST_CASUALTIES } from './casualties.ts';
import type { DeploymentCounts } from './deployment-queue.ts';

/** What one process of an ingress has to do, and has done. */
export interface ProcessLoad {
  readonly pid: number;
  /** of clients */
  readonly connections: number;
  /** requests that are not over */
  readonly open: number;
  readonly inFlight: number;
  readonly queued: number;
  /** bytes of request bodies that are kept for another try */
  readonly keptBytes: number;
  readonly deployments: readonly DeploymentCounts[];
  /** requests given up because replicas died with them, oldest first */
  readonly poison: readonly Casualty[];
}

/** What processes that have ended leave behind. */
export type PastLoad = Pick<ProcessLoad, 'deployments' | 'poison'>;

/** What several processes have to do together. */
export type TotalLoad = Omit<ProcessLoad, 'pid'>;

/**
 * Sums what processes have to do, with what was counted in those that have ended. Which replicas are ready is the
 * first process' word: each has its own connection to them.
 */
export function totalLoad(loads: readonly [ProcessLoad, ...ProcessLoad[]], past: PastLoad): TotalLoad {
  const [first, ...others] = loads;
  const all = [...past.deployments, ...others.flatMap(({ deployments }) => deployments)];
  const sum = (of: (load: ProcessLoad) => number) => loads.reduce((total, load) => total + of(load), 0);
  return {
    connections: sum((load) => load.connections),
    open: sum((load) => load.open),
    inFlight: sum((load) => load.inFlight),
    queued: sum((load) => load.queued),
    keptBytes: sum((load) => load.keptBytes),
    deployments: first.deployments.map((counts) =>
      all
        .filter(({ deployment }) => deployment === counts.deployment)
        .reduce((total, more) => addCounts(total, more), counts),
    ),
    poison: latest([past, ...loads].flatMap(({ poison }) => poison)),
  };
}

/** What a process that has ended leaves behind, added to what others have left. */
export function addPast(past: PastLoad, ended: PastLoad): PastLoad {
  const known = new Map(past.deployments.map((counts) => [counts.deployment, counts]));
  for (const counts of ended.deployments) {
    const over = { ...counts, ready: 0, inFlight: 0, queued: 0 };
    const before = known.get(counts.deployment);
    known.set(counts.deployment, before === undefined ? over : addCounts(before, over));
  }
  return {
    deployments: [...known.values()],
    poison: latest([...past.poison, ...ended.poison]),
  };
}

function latest(poison: readonly Casualty[]): readonly Casualty[] {
  return [...poison].sort((left, right) => left.atMs - right.atMs).slice(-MOST_CASUALTIES);
}

/** `ready` stays the first one's. */
function addCounts(to: DeploymentCounts, more: DeploymentCounts): DeploymentCounts {
  const codes = new Set([...Object.keys(to.frameworkErrors), ...Object.keys(more.frameworkErrors)]);
  return {
    deployment: to.deployment,
    ready: to.ready,
    inFlight: to.inFlight + more.inFlight,
    queued: to.queued + more.queued,
    requests: to.requests + more.requests,
    applicationErrors: to.applicationErrors + more.applicationErrors,
    frameworkErrors: Object.fromEntries(
      [...codes].map((code) => [code, (to.frameworkErrors[code] ?? 0) + (more.frameworkErrors[code] ?? 0)]),
    ),
  };
}
