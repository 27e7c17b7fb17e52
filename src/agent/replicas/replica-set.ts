import { setTimeout as delay } from 'node:timers/promises';
import type { ReplicaAssignment, ReplicaStatus } from '../../cluster/replicas/types.ts';
import { messageOf } from '../../lib/errors.ts';
import { findByArgument } from '../../lib/process/find-by-argument.ts';
import { isRunning, readProcessStat } from '../../lib/process/identity.ts';
import { killSession } from '../../lib/process/signals.ts';
import { watchExit } from '../../lib/process/watch-exit.ts';
import { removeReplicaFiles, replicaFiles } from './launch.ts';
import type { LiveProcess } from './life.ts';
import { pruneReplicaLogs } from './old-logs.ts';
import { planChanges } from './plan-changes.ts';
import type { ReplicaRecord } from './records.ts';
import { ReplicaSupervisor, type SupervisorDependencies, type SupervisorOptions } from './supervisor.ts';

/** Adopted replicas that live answer within milliseconds; those that are stopped or load are watched, not waited for. */
const GREETING_MS = 2_000;

/** All replicas of one node, by id. */
export class ReplicaSet {
  readonly #options: SupervisorOptions;
  readonly #dependencies: SupervisorDependencies;
  readonly #supervisors = new Map<string, ReplicaSupervisor>();
  /** what starts under an id once the replica that drains under it has left */
  readonly #successors = new Map<string, ReplicaAssignment>();
  readonly #ends = new Set<Promise<void>>();

  constructor(options: SupervisorOptions, dependencies: SupervisorDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  get statuses(): readonly ReplicaStatus[] {
    return [...this.#supervisors.values()].map((supervisor) => supervisor.status);
  }

  get isEmpty(): boolean {
    return this.#supervisors.size === 0;
  }

  /**
   * Takes over what an earlier agent of this node left running, by its records: same process (pid and start time), and
   * its own answer on its socket. What has ended meanwhile is cleaned up, forked children included.
   */
  async adopt(): Promise<void> {
    const greetings: Promise<void>[] = [];
    for (const record of this.#dependencies.records.readAll()) {
      const identity = record.identity ?? findByArgument(record.launchFile);
      if (identity === null || !isRunning(identity)) await this.#clean(record);
      else greetings.push(this.#takeOver(record, watched(identity)));
    }
    const over = new AbortController();
    await Promise.race([
      Promise.all(greetings),
      delay(GREETING_MS, undefined, { signal: over.signal }).catch(() => undefined),
    ]);
    over.abort();
    for (const supervisor of this.#supervisors.values()) {
      if (supervisor.assignment.desired === 'drain') supervisor.drain();
    }
  }

  /** Makes the node's replicas what the assignment says; returns at once. */
  apply(wanted: readonly ReplicaAssignment[]): void {
    const present = [...this.#supervisors.values()].map(({ assignment, isDraining }) => ({
      assignment,
      draining: isDraining,
    }));
    const plan = planChanges(present, wanted);
    this.#successors.clear();
    for (const replicaId of plan.drain) this.#supervisors.get(replicaId)?.drain();
    for (const assignment of plan.replace) {
      this.#successors.set(assignment.replicaId, assignment);
      this.#supervisors.get(assignment.replicaId)?.drain();
    }
    for (const assignment of plan.update) this.#supervisors.get(assignment.replicaId)?.update(assignment);
    for (const assignment of plan.start) this.#keep(this.#create(assignment));
  }

  /** Drains everything; returns when nothing is left. */
  async drainAll(): Promise<void> {
    this.apply([]);
    await Promise.all(this.#ends);
  }

  /** Leaves everything running for the next agent; returns when nothing is watched any more. */
  async leave(): Promise<void> {
    this.#successors.clear();
    for (const supervisor of this.#supervisors.values()) supervisor.leave();
    await Promise.all(this.#ends);
  }

  #create(assignment: ReplicaAssignment): ReplicaSupervisor {
    return new ReplicaSupervisor(assignment, this.#options, this.#dependencies);
  }

  #keep(supervisor: ReplicaSupervisor): void {
    const { replicaId } = supervisor.assignment;
    this.#supervisors.set(replicaId, supervisor);
    const end = supervisor
      .keep()
      .then(async (departed) => {
        if (!departed) return;
        this.#forget(replicaId);
        await pruneReplicaLogs(this.#options.paths.replicaLogs, (id) => this.#supervisors.has(id));
      })
      .catch((error: unknown) => {
        this.#dependencies.log.error(
          { replicaId, error: messageOf(error) },
          'a replica cannot be supervised',
        );
      })
      .finally(() => {
        this.#ends.delete(end);
      });
    this.#ends.add(end);
    this.#dependencies.onChange();
  }

  #forget(replicaId: string): void {
    this.#supervisors.delete(replicaId);
    const successor = this.#successors.get(replicaId);
    this.#successors.delete(replicaId);
    if (successor !== undefined) this.#keep(this.#create(successor));
    this.#dependencies.onChange();
  }

  #takeOver(record: ReplicaRecord, process: LiveProcess): Promise<void> {
    const supervisor = this.#create(record.assignment);
    const greeted = supervisor.adopt({ ...record, identity: process.identity }, process);
    this.#keep(supervisor);
    return greeted;
  }

  /** Its process is gone. The kernel gives its number to nobody while members of its session live, so they are its own. */
  async #clean({ identity, assignment }: ReplicaRecord): Promise<void> {
    const { paths } = this.#options;
    if (identity !== null) {
      const now = readProcessStat(identity.pid);
      if (now === null || now.startTicks === identity.startTicks) await killSession(identity.pid);
    }
    removeReplicaFiles(replicaFiles(paths, assignment.replicaId, assignment.deployment));
    this.#dependencies.records.remove(assignment.replicaId);
  }
}

function watched(identity: LiveProcess['identity']): LiveProcess {
  const { exited, check, stop } = watchExit(identity);
  return { identity, exited: exited.then(() => null), check, release: stop };
}
