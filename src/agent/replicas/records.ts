import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ReplicaHistory } from '../../cluster/replicas/state.ts';
import type { ReconfigureOutcome, ReplicaAssignment } from '../../cluster/replicas/types.ts';
import { sha256 } from '../../lib/hash.ts';
import type { ProcessIdentity } from '../../lib/process/identity.ts';
import type { AppliedSettings } from './settings.ts';

const FORMAT = 1;

/** What a replica's process leaves on disk, so that the next agent can take it over. */
export interface ReplicaRecord {
  readonly format: typeof FORMAT;
  /** what it was assigned last */
  readonly assignment: ReplicaAssignment;
  /** null: it is about to be spawned; a process started with `launchFile` as its argument is it */
  readonly identity: ProcessIdentity | null;
  readonly launchFile: string;
  readonly startedAtMs: number;
  /** of the replica, this process included */
  readonly history: ReplicaHistory;
  /** this process has been ready for min_ready_s */
  readonly stable: boolean;
  /** `hashes.reconfigure` of the spec it was started with */
  readonly startedWith: string;
  /** what this process was told so far */
  readonly applied: AppliedSettings;
  readonly reconfigured: ReconfigureOutcome | null;
}

/**
 * The records of one node, a file per replica. Written at once and without fsync: they need to outlive the agent, not
 * the machine, whose end the processes do not outlive either.
 */
export class ReplicaRecords {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** All that can be read; a file of another format or cut short is left out. */
  readAll(): readonly ReplicaRecord[] {
    mkdirSync(this.#folder, { recursive: true });
    return readdirSync(this.#folder)
      .filter((name) => /^replica-.*\.json$/.test(name))
      .map((name) => readRecord(join(this.#folder, name)))
      .filter((record) => record !== null);
  }

  write(record: Omit<ReplicaRecord, 'format'>): void {
    mkdirSync(this.#folder, { recursive: true });
    const path = this.#path(record.assignment.replicaId);
    writeFileSync(`${path}.tmp`, JSON.stringify({ format: FORMAT, ...record }), { mode: 0o600 });
    renameSync(`${path}.tmp`, path);
  }

  remove(replicaId: string): void {
    rmSync(this.#path(replicaId), { force: true });
  }

  #path(replicaId: string): string {
    return join(this.#folder, `replica-${sha256(replicaId).slice(0, 16)}.json`);
  }
}

function readRecord(path: string): ReplicaRecord | null {
  try {
    const record = JSON.parse(readFileSync(path, 'utf8')) as ReplicaRecord;
    return record.format === FORMAT ? record : null;
  } catch {
    return null;
  }
}
