import { ReplicaRecords } from '../agent/replicas/records.ts';
import type { NodeAssignment } from '../cluster/replicas/types.ts';
import type { PinnedSpec } from '../cluster/spec/types.ts';
import type { StatePaths } from '../config/paths.ts';
import { DurableRevisions } from '../controller/revisions.ts';
import { readIfThere } from '../lib/files.ts';

/**
 * Hashes of the packages that a node may need again, by what its state directory holds: of the revisions that are
 * recorded there (on a head), of what the node was assigned, and of what runs.
 */
export async function neededPackages(paths: StatePaths): Promise<readonly string[]> {
  const revisions = new DurableRevisions(paths.revisions);
  const specs: PinnedSpec[] = [];
  for (const number of await revisions.numbers()) {
    specs.push(...((await revisions.read(number))?.deployments ?? []));
  }
  const assignment = await readIfThere(paths.assignment);
  const assigned = assignment === null ? [] : (JSON.parse(assignment) as NodeAssignment).replicas;
  const running = new ReplicaRecords(paths.processes).readAll().map((record) => record.assignment);
  return [...specs, ...[...assigned, ...running].map(({ spec }) => spec)].map((spec) => spec.package.hash);
}
