import { ReplicaRecords } from '../agent/replicas/records.ts';
import type { NodeAssignment } from '../cluster/replicas/types.ts';
import type { PinnedSpec } from '../cluster/spec/types.ts';
import type { StatePaths } from '../config/paths.ts';
import { DurableRevisions } from '../controller/revisions.ts';
import { readIfThere } from '../lib/files.ts';

/** What runs here, what was assigned here, and on a head what rollouts want and stand on: whether or not the node runs. */
export async function specsInForce(paths: StatePaths): Promise<readonly PinnedSpec[]> {
  const revisions = new DurableRevisions(paths.revisions);
  const { rollouts } = await revisions.readMemory();
  const rolledOut = rollouts
    .flatMap(({ wanted, lastGood }) => [wanted, lastGood])
    .flatMap((revised) => (revised === null ? [] : [revised.spec]));
  const newest = (await revisions.newest())?.deployments ?? []; // between its record and its rollouts
  const assignment = await readIfThere(paths.assignment);
  const assigned = assignment === null ? [] : (JSON.parse(assignment) as NodeAssignment).replicas;
  const running = new ReplicaRecords(paths.processes).readAll().map((record) => record.assignment);
  return [...[...assigned, ...running].map(({ spec }) => spec), ...rolledOut, ...newest];
}

/** What the revisions name that are recorded on a head's disk: any of them can be returned to. */
export async function specsRecorded(paths: StatePaths): Promise<readonly PinnedSpec[]> {
  const revisions = new DurableRevisions(paths.revisions);
  const specs: PinnedSpec[] = [];
  for (const number of await revisions.numbers()) {
    specs.push(...((await revisions.read(number))?.deployments ?? []));
  }
  return specs;
}
