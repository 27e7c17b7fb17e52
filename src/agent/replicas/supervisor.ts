import { setTimeout as delay } from 'node:timers/promises';
import { accepts, advance } from '../../cluster/replicas/advance.ts';
import { newReplica, type ReplicaEvent, type ReplicaState } from '../../cluster/replicas/state.ts';
import type {
  FailureKind,
  ReplicaAssignment,
  ReplicaFailure,
  ReplicaStatus,
} from '../../cluster/replicas/types.ts';
import type { NodeValues } from '../../config/node-values.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { fileSizeBytes } from '../../lib/process/exit.ts';
import { ContentError } from '../content/content-error.ts';
import { PreparationError } from '../environments/preparation-error.ts';
import type { Contents, Preparations, ReadyBackend } from '../environments/preparations.ts';
import type { ModelAgents } from '../model-agents/model-agents.ts';
import type { Claims } from './claims.ts';
import type { LifeSignLimits } from './hang.ts';
import {
  launchReplica,
  type ReplicaFiles,
  type ReplicaPaths,
  removeReplicaFiles,
  replicaFiles,
} from './launch.ts';
import type { LiveProcess } from './life.ts';
import { actionOf } from './news.ts';
import type { ReplicaRecord, ReplicaRecords } from './records.ts';
import { Run, type RunStart } from './run.ts';
import { settingsOf } from './settings.ts';
import { statusOf } from './status.ts';
import type { WorkBook } from './work-book.ts';

export interface SupervisorOptions {
  readonly nodeId: string;
  readonly paths: ReplicaPaths;
  readonly lifeSignLimits: LifeSignLimits;
}

export interface SupervisorDependencies {
  readonly preparations: Preparations;
  readonly works: WorkBook;
  readonly values: Pick<NodeValues, 'configOf'>;
  readonly agents: Pick<ModelAgents, 'tell'>;
  readonly contents: Pick<Contents, 'coming'>;
  readonly claims: Claims;
  readonly records: ReplicaRecords;
  readonly log: Log;
  readonly nowMs: () => number;
  /** the status is not what it was */
  readonly onChange: () => void;
}

/**
 * Keeps one assigned replica running: prepares it, waits until the node can hold it, starts it, watches it, starts it
 * again when it ends, until it is drained. One loop, in which `cluster/replicas/advance` says what follows what.
 */
export class ReplicaSupervisor {
  readonly #options: SupervisorOptions;
  readonly #dependencies: SupervisorDependencies;
  readonly #interrupt = new AbortController();
  #assignment: ReplicaAssignment;
  #state: ReplicaState = newReplica();
  #note = '';
  #sinceMs: number;
  #prepared: ReadyBackend | null = null;
  #run: Run | null = null;
  #left = false;

  constructor(
    assignment: ReplicaAssignment,
    options: SupervisorOptions,
    dependencies: SupervisorDependencies,
  ) {
    this.#assignment = assignment;
    this.#options = options;
    this.#dependencies = dependencies;
    this.#sinceMs = dependencies.nowMs();
  }

  get assignment(): ReplicaAssignment {
    return this.#assignment;
  }

  get isDraining(): boolean {
    return this.#state.phase === 'draining' || this.#state.phase === 'stopped';
  }

  get status(): ReplicaStatus {
    return statusOf(this.#assignment, this.#state, {
      note: this.#note,
      sinceMs: this.#sinceMs,
      reconfigured: this.#run?.settings.reconfigured ?? null,
      startedWith: this.#run?.settings.startedWith ?? null,
    });
  }

  /**
   * Takes over a process that an agent before this one started; to be called before `keep`.
   * @returns resolves when it has answered on its socket, or ended
   */
  async adopt(record: ReplicaRecord, process: LiveProcess): Promise<void> {
    const { history, startedAtMs, stable } = record;
    const processes = history.processes - 1; // this one is counted again as it is adopted
    this.#state = { phase: 'pending', prepared: false, history: { ...history, processes } };
    this.#dispatch({ type: 'adopted', pid: process.identity.pid, startedAtMs });
    this.#dependencies.claims.hold(this.#assignment);
    const run = this.#follow({ ...record, process, logFile: this.#files.log, logFromBytes: 0 });
    this.#run = run;
    if (stable) {
      this.#dispatch({ type: 'became-ready', atMs: this.#dependencies.nowMs() });
      this.#dispatch({ type: 'proved-stable' });
      run.resume();
    }
    this.#save();
    await Promise.race([run.greeted, run.life.ended]);
  }

  /** Runs until the replica has left for good (true) or this agent has left it (false). */
  async keep(): Promise<boolean> {
    while (this.#state.phase !== 'stopped' && !this.#left) await this.#step();
    if (this.#left) return false;
    const { claims, records } = this.#dependencies;
    const { replicaId } = this.#assignment;
    records.remove(replicaId);
    removeReplicaFiles(this.#files);
    claims.release(replicaId);
    return true;
  }

  /** Another spec for the same process: what `hashes.replace` covers is the same. */
  update(assignment: ReplicaAssignment): void {
    this.#assignment = assignment;
    this.#save();
    if (this.#state.phase === 'ready') void this.#run?.sync();
    this.#dependencies.onChange();
  }

  /** Finishes what it has begun and ends; idempotent. */
  drain(): void {
    const graceMs = this.#assignment.spec.gracefulShutdownTimeoutMs;
    const deadlineMs = this.#dependencies.nowMs() + graceMs;
    if (!this.#dispatch({ type: 'drain-requested', deadlineMs })) return;
    this.#assignment = { ...this.#assignment, desired: 'drain' };
    this.#save();
    this.#interrupt.abort();
    void this.#run?.drain(graceMs);
  }

  /** Stops watching; the process goes on for the next agent. */
  leave(): void {
    this.#left = true;
    this.#interrupt.abort();
    this.#run?.leave();
  }

  async #step(): Promise<void> {
    const state = this.#state;
    switch (state.phase) {
      case 'pending':
        if (state.prepared) await this.#awaitAdmission();
        else this.#dispatch({ type: 'preparation-started' });
        return;
      case 'preparing':
        return this.#prepare();
      case 'failed':
        await delay(Math.max(0, state.retryAtMs - this.#dependencies.nowMs()), undefined, {
          signal: this.#interrupt.signal,
        }).catch(() => undefined);
        if (!this.#left) this.#dispatch({ type: 'retry-came-due' });
        return;
      default:
        return this.#live();
    }
  }

  async #prepare(): Promise<void> {
    try {
      if (await this.#obtainBackend()) this.#dispatch({ type: 'preparation-finished' });
    } catch (error) {
      this.#dispatch({ type: 'preparation-failed', failure: this.#failureOf('prepare', error) });
    }
  }

  /** @returns null when drained or left meanwhile */
  async #obtainBackend(): Promise<ReadyBackend | null> {
    this.#prepared = await this.#dependencies.preparations.prepare(this.#assignment.spec, {
      onProgress: (line) => this.#say(line),
      signal: this.#interrupt.signal,
    });
    return this.#prepared;
  }

  async #awaitAdmission(): Promise<void> {
    const { claims } = this.#dependencies;
    const admitted = await claims.admitted(
      this.#assignment,
      (reason) => this.#say(`waits: ${reason}`),
      this.#interrupt.signal,
    );
    if (admitted) this.#dispatch({ type: 'admitted' });
  }

  async #live(): Promise<void> {
    const run = this.#run ?? (await this.#spawn());
    if (run === null) return;
    const over = await run.life.ended;
    if (over === null) return;
    const kind = this.#endKind();
    await run.bury();
    this.#dispatch({ type: 'exited', failure: run.failure(kind, over.exit) });
    this.#run = null;
    this.#prepared = null; // its models are looked at anew before the next start
    this.#dependencies.onChange();
  }

  #endKind(): FailureKind {
    if (this.#state.phase === 'starting') return 'start';
    return 'stable' in this.#state && this.#state.stable ? 'crash' : 'early-crash';
  }

  async #spawn(): Promise<Run | null> {
    try {
      const prepared = this.#prepared ?? (await this.#obtainBackend());
      if (prepared === null || this.#state.phase !== 'starting') return null;
      return await this.#spawnWith(prepared);
    } catch (error) {
      const kind = error instanceof PreparationError || error instanceof ContentError ? 'prepare' : 'start';
      this.#prepared = null; // looked at anew before the next try
      this.#dispatch({ type: 'exited', failure: this.#failureOf(kind, error) });
      return null;
    }
  }

  async #spawnWith(prepared: ReadyBackend): Promise<Run | null> {
    const { paths } = this.#options;
    const { records, nowMs } = this.#dependencies;
    const start = {
      startedAtMs: nowMs(),
      logFile: this.#files.log,
      logFromBytes: fileSizeBytes(this.#files.log),
      startedWith: this.#assignment.spec.hashes.reconfigure,
      applied: settingsOf(this.#assignment.spec),
      reconfigured: null,
    };
    const { history } = this.#state;
    // Written first: should this agent die within the next line, the next one finds the process by its launch file.
    const processes = history.processes + 1;
    records.write(this.#recordOf({ ...start, identity: null, history: { ...history, processes } }));
    const process = await launchReplica(this.#assignment, prepared, paths);
    const run = this.#follow({ ...start, process });
    if (!this.#dispatch({ type: 'spawned', pid: process.identity.pid, atMs: start.startedAtMs })) {
      await run.bury(); // drained while it was being spawned
      return null;
    }
    this.#run = run;
    this.#save();
    if (this.#left) run.leave();
    return run;
  }

  #follow(start: RunStart): Run {
    const { nodeId, lifeSignLimits } = this.#options;
    const { replicaId } = this.#assignment;
    return new Run(
      start,
      { nodeId, replicaId, socketPath: this.#files.socket, lifeSignLimits },
      {
        assignment: () => this.#assignment,
        dispatch: (event) => this.#dispatch(event),
        onProgress: () => {
          this.#save();
          this.#dependencies.onChange();
        },
        coming: () => this.#dependencies.contents.coming(this.#assignment.spec),
        say: (note) => this.#say(note),
        configOf: (spec) => this.#dependencies.values.configOf(spec),
        nowMs: this.#dependencies.nowMs,
        works: this.#dependencies.works,
        log: this.#dependencies.log,
      },
    );
  }

  get #files(): ReplicaFiles {
    return replicaFiles(this.#options.paths, this.#assignment.replicaId, this.#assignment.deployment);
  }

  #save(): void {
    const run = this.#run;
    if (run === null) return;
    const { identity } = run.life;
    const { records, log } = this.#dependencies;
    try {
      records.write(this.#recordOf({ ...run.settings, identity, history: this.#state.history }));
    } catch (error) {
      // A full disk stops no replica; its record is older than it then, which costs its history at most.
      log.error({ error: messageOf(error) }, 'the record of a replica cannot be written');
    }
  }

  #recordOf(
    process: Omit<ReplicaRecord, 'format' | 'assignment' | 'launchFile' | 'stable'>,
  ): Omit<ReplicaRecord, 'format'> {
    const { identity, history, startedAtMs, startedWith, applied, reconfigured } = process;
    const stable = 'stable' in this.#state && this.#state.stable;
    return {
      assignment: this.#assignment,
      launchFile: this.#files.launchFile,
      ...{ identity, history, stable, startedAtMs, startedWith, applied, reconfigured },
    };
  }

  #failureOf(kind: FailureKind, error: unknown): ReplicaFailure {
    const traceback = error instanceof PreparationError ? error.data.details : '';
    return { kind, message: messageOf(error), traceback, atMs: this.#dependencies.nowMs() };
  }

  #say(note: string): void {
    if (note === this.#note) return;
    this.#note = note;
    this.#dependencies.onChange();
  }

  #tellAgents(event: ReplicaEvent, before: ReplicaState['phase']): void {
    const action = actionOf(event, before);
    if (action === null) return;
    const { spec, replicaId } = this.#assignment;
    const location = this.#prepared?.spec.modelRoot ?? spec.modelRoot;
    this.#dependencies.agents.tell(spec, { replicaId, action, location });
  }

  /** @returns false for an event that came too late to count */
  #dispatch(event: ReplicaEvent): boolean {
    if (!accepts(this.#state, event)) return false;
    const before = this.#state.phase;
    this.#state = advance(this.#state, event);
    this.#note = '';
    if (this.#state.phase !== before) this.#sinceMs = this.#dependencies.nowMs();
    const { replicaId } = this.#assignment;
    const failure = 'failure' in event ? event.failure.message : undefined;
    this.#dependencies.log.info({ replicaId, from: before, to: this.#state.phase, failure }, event.type);
    this.#tellAgents(event, before);
    this.#dependencies.onChange();
    return true;
  }
}
