import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { planChanges } from '../cluster/spec/plan-changes.ts';
import type { PlannedChange } from '../cluster/spec/types.ts';
import type { ModelFetch } from '../cluster/status/types.ts';
import type { Finding } from '../config/compile.ts';
import { differences, settingsDifferences } from '../config/pin.ts';
import type { ContentStore } from '../lib/content/content-store.ts';
import type { Room } from '../lib/content/room.ts';
import { messageOf, ServeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { RemoteModels } from '../models/remote-models.ts';
import type { ApplyQueue } from '../store/types.ts';
import { capacityWarnings } from './capacity-warnings.ts';
import {
  type ApplySource,
  type DraftOptions,
  type DraftResult,
  draftRevision,
  type RevisionDraft,
} from './draft.ts';
import { eligibleNodes } from './eligible-nodes.ts';
import type { Leader } from './leader.ts';
import type { LeaderState } from './leader-state.ts';
import type { Uploads } from './uploads.ts';

/** What the `apply` job carries: everything is read and hashed before, the job takes milliseconds. */
export interface ApplyJob {
  readonly draft: RevisionDraft;
  /** refused where the newest revision is another by then; null or not there: whatever it is */
  readonly base?: number | null;
}

export interface Recorded {
  readonly outcome: 'recorded' | 'unchanged';
  readonly revision: number;
  readonly changes: readonly PlannedChange[];
  readonly settings: PlannedChange['differences'];
  /** deployments whose end the caller waits for */
  readonly deployments: readonly string[];
}

export type PlanResult =
  | {
      readonly ok: true;
      readonly changes: readonly PlannedChange[];
      /** what changes in `[MODEL SERVE]` */
      readonly settings: PlannedChange['differences'];
      readonly warnings: readonly Finding[];
    }
  | { readonly ok: false; readonly mistakes: readonly Finding[]; readonly warnings: readonly Finding[] };

export type ApplyResult =
  | { readonly ok: true; readonly recorded: Recorded; readonly warnings: readonly Finding[] }
  | { readonly ok: false; readonly mistakes: readonly Finding[]; readonly warnings: readonly Finding[] };

export interface ApplyDeskOptions {
  readonly snapshotsDir: string;
  readonly digestsDir: string;
  readonly contents: ContentStore;
  readonly room: Room;
  readonly uploadedDir: string;
  /** gets what URIs name */
  readonly remote: Pick<RemoteModels, 'obtain' | 'running'>;
  /** how long the job may wait in the queue */
  readonly queueTimeoutMs: number;
  /** how long a job may wait for this head to be elected, which takes a moment after a loss of the store */
  readonly electionTimeoutMs: number;
}

export interface ApplyDeskDependencies {
  readonly queue: ApplyQueue<ApplyJob, Recorded>;
  readonly leader: Pick<Leader, 'record' | 'leadership' | 'waitUntilLeading' | 'view' | 'isAlive'>;
  readonly state: LeaderState;
  readonly uploads: Pick<Uploads, 'materialise'>;
  readonly log: Log;
}

const LOOK_MS = 100;
const NODES_TIMEOUT_MS = 2_000;

/** Where a conf.ini comes in: reads and pins it, hands it to the queue, and records it when its turn has come. */
export class ApplyDesk {
  readonly #options: ApplyDeskOptions;
  readonly #dependencies: ApplyDeskDependencies;
  readonly #stopping = new AbortController();
  #processing: Promise<void> = Promise.resolve();
  /** why jobs cannot be taken, said once */
  #problem = '';

  constructor(options: ApplyDeskOptions, dependencies: ApplyDeskDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  /** Takes jobs whenever this head leads and the store is there, from here on. */
  start(): void {
    this.#processing = this.#process();
  }

  /** Idempotent; waits for the job in hand. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#processing;
  }

  /** What applying the file would change, without keeping anything. */
  async plan(source: ApplySource, signal: AbortSignal): Promise<PlanResult> {
    return this.planDrafted(await this.#draft(source, { dryRun: true, signal }));
  }

  /** What bringing a draft into force would change. */
  planDrafted(drafted: DraftResult): PlanResult {
    if (!drafted.ok) return drafted;
    const planned = this.#planned(drafted.draft);
    const changes = withEnvironments(planned.changes, drafted.environments);
    return { ok: true, ...planned, changes, warnings: this.#warnings(drafted) };
  }

  /**
   * @param signal nobody waits any more: what is being fetched from servers ends, and nothing is changed
   * @throws ServeError STORE_UNREACHABLE or APPLY_TIMEOUT when the job could not be recorded: nothing was changed
   */
  async apply(source: ApplySource, signal: AbortSignal): Promise<ApplyResult> {
    const over = new AbortController();
    try {
      const held = AbortSignal.any([signal, over.signal]);
      return await this.applyDrafted(await this.#draft(source, { dryRun: false, signal: held }), null);
    } finally {
      over.abort(); // what it names is recorded now, or not wanted
    }
  }

  /**
   * @param base the newest revision as whoever drafted it knows it; null: whatever it is
   * @throws ServeError as `apply`, and REVISION_MOVED
   */
  async applyDrafted(drafted: DraftResult, base: number | null): Promise<ApplyResult> {
    if (!drafted.ok) return drafted;
    const job = { draft: drafted.draft, base };
    const recorded = await this.#dependencies.queue.submit(job, this.#options.queueTimeoutMs);
    const changes = withEnvironments(recorded.changes, drafted.environments);
    return { ok: true, recorded: { ...recorded, changes }, warnings: this.#warnings(drafted) };
  }

  /** A head that stands by leaves the jobs to the one that leads. */
  async #process(): Promise<void> {
    const { signal } = this.#stopping;
    let stopTaking: (() => Promise<void>) | null = null;
    let ledAtMs = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      if (this.#dependencies.leader.leadership !== null) ledAtMs = performance.now();
      const leads = performance.now() - ledAtMs < this.#options.electionTimeoutMs;
      if (leads) stopTaking ??= await this.#take();
      else if (stopTaking !== null) {
        await stopTaking();
        stopTaking = null;
      }
      await delay(LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
    await stopTaking?.();
  }

  /** @returns null when the store is away: to be tried again */
  async #take(): Promise<(() => Promise<void>) | null> {
    const { queue, log } = this.#dependencies;
    try {
      const stopTaking = await queue.process((job) => this.#record(job));
      this.#problem = '';
      return stopTaking;
    } catch (error) {
      if (messageOf(error) !== this.#problem) log.warn({ error: messageOf(error) }, 'applies have to wait');
      this.#problem = messageOf(error);
      return null;
    }
  }

  /** What is being fetched for applies at the moment. */
  get fetches(): readonly ModelFetch[] {
    return this.#options.remote.running;
  }

  async #draft(
    { confPath, upload }: ApplySource,
    how: Pick<DraftOptions, 'dryRun' | 'signal'>,
  ): Promise<DraftResult> {
    const folder = upload === null ? null : await this.#dependencies.uploads.materialise(upload);
    return await this.#read(
      {
        confPath: folder === null ? confPath : join(folder, 'conf.ini'),
        confText: null,
        uploadedFrom: folder === null ? null : confPath,
      },
      how,
    );
  }

  /** A draft of a text as if it stood in the file at that path of the head's. */
  async draftText(
    { confPath, confText }: Pick<RevisionDraft, 'confPath' | 'confText'>,
    how: Pick<DraftOptions, 'dryRun' | 'signal'>,
  ): Promise<DraftResult> {
    return await this.#read({ confPath, confText, uploadedFrom: null }, how);
  }

  async #read(
    source: Pick<DraftOptions, 'confPath' | 'confText' | 'uploadedFrom'>,
    how: Pick<DraftOptions, 'dryRun' | 'signal'>,
  ): Promise<DraftResult> {
    const { snapshotsDir, digestsDir, contents, room, uploadedDir, remote } = this.#options;
    await this.#untilNodesAreKnown();
    return await draftRevision({
      ...{ snapshotsDir, digestsDir, contents, room, uploadedDir, remote, ...source, ...how },
      nodesFor: (spec) => eligibleNodes(spec, this.#dependencies.leader),
    });
  }

  /** A leader has looked at its nodes a moment after its election; what environments they offer is asked of them. */
  async #untilNodesAreKnown(): Promise<void> {
    const { leader } = this.#dependencies;
    const end = performance.now() + NODES_TIMEOUT_MS;
    while (leader.leadership !== null && leader.view.nodes.size === 0 && performance.now() < end) {
      await delay(LOOK_MS);
    }
  }

  #warnings(drafted: DraftResult & { readonly ok: true }): readonly Finding[] {
    return [...drafted.warnings, ...capacityWarnings(drafted.draft, this.#dependencies.leader)];
  }

  #planned(draft: RevisionDraft): Pick<Recorded, 'changes' | 'settings'> {
    const { revision, rollouts } = this.#dependencies.state;
    return {
      changes: planChanges(rollouts, draft.deployments, differences),
      settings: revision === null ? [] : settingsDifferences(revision.settings, draft.settings),
    };
  }

  /** Runs in the order of the queue: plans against what is there now. */
  async #record({ draft, base = null }: ApplyJob): Promise<Recorded> {
    const { leader, state } = this.#dependencies;
    if (!(await leader.waitUntilLeading(this.#options.electionTimeoutMs))) {
      throw new ServeError('this head does not lead the cluster at the moment. Try again.', {
        code: 'NOT_LEADER',
      });
    }
    const { changes, settings } = this.#planned(draft);
    const { revision, rollouts } = state;
    const newest = revision?.number ?? 0;
    if (base !== null && base !== newest) throw revisionMoved(base, newest);
    if (revision !== null && changes.length + settings.length === 0) {
      if (draft.origin === undefined) await state.noteRead(draft);
      const deployments = rollouts.map((rollout) => rollout.deployment);
      return { outcome: 'unchanged', revision: revision.number, changes, settings, deployments };
    }
    const number = await leader.record(draft);
    return {
      outcome: 'recorded',
      revision: number,
      changes,
      settings,
      deployments: changes.map((change) => change.deployment),
    };
  }
}

function revisionMoved(base: number, newest: number): ServeError {
  return new ServeError(
    `expected revision ${base} to be the newest, found ${newest}: somebody has applied a change meanwhile, and nothing was changed now. Look at it (modelserve diff ${base} ${newest}) and try again on top of it.`,
    { code: 'REVISION_MOVED' },
  );
}

/** Says of each deployment whose replicas are started anew what they run in. */
function withEnvironments(
  changes: readonly PlannedChange[],
  environments: ReadonlyMap<string, string>,
): readonly PlannedChange[] {
  return changes.map((change) => {
    const environment = environments.get(change.deployment);
    const isStarted = change.kind !== 'changed' || change.effects.includes('replace');
    return environment !== undefined && isStarted ? { ...change, environment } : change;
  });
}
