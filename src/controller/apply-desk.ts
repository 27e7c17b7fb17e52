import { planChanges } from '../cluster/spec/plan-changes.ts';
import type { PlannedChange } from '../cluster/spec/types.ts';
import type { Finding } from '../config/compile.ts';
import { differences } from '../config/pin.ts';
import { ServeError } from '../lib/errors.ts';
import type { ApplyQueue } from '../store/types.ts';
import { capacityWarnings } from './capacity-warnings.ts';
import { type DraftResult, draftRevision, type RevisionDraft } from './draft.ts';
import type { Leader } from './leader.ts';
import type { LeaderState } from './leader-state.ts';

/** What the `apply` job carries: everything is read and hashed before, the job takes milliseconds. */
export interface ApplyJob {
  readonly draft: RevisionDraft;
}

export interface Recorded {
  readonly outcome: 'recorded' | 'unchanged';
  readonly revision: number;
  readonly changes: readonly PlannedChange[];
  /** deployments whose end the caller waits for */
  readonly deployments: readonly string[];
}

export type PlanResult =
  | { readonly ok: true; readonly changes: readonly PlannedChange[]; readonly warnings: readonly Finding[] }
  | { readonly ok: false; readonly mistakes: readonly Finding[]; readonly warnings: readonly Finding[] };

export type ApplyResult =
  | { readonly ok: true; readonly recorded: Recorded; readonly warnings: readonly Finding[] }
  | { readonly ok: false; readonly mistakes: readonly Finding[]; readonly warnings: readonly Finding[] };

export interface ApplyDeskOptions {
  readonly snapshotsDir: string;
  readonly digestsDir: string;
  /** how long the job may wait in the queue */
  readonly queueTimeoutMs: number;
}

export interface ApplyDeskDependencies {
  readonly queue: ApplyQueue<ApplyJob, Recorded>;
  readonly leader: Leader;
  readonly state: LeaderState;
}

/** Where a conf.ini comes in: reads and pins it, hands it to the queue, and records it when its turn has come. */
export class ApplyDesk {
  readonly #options: ApplyDeskOptions;
  readonly #queue: ApplyQueue<ApplyJob, Recorded>;
  readonly #leader: Leader;
  readonly #state: LeaderState;
  #stopProcessing: (() => Promise<void>) | null = null;

  constructor(options: ApplyDeskOptions, dependencies: ApplyDeskDependencies) {
    this.#options = options;
    this.#queue = dependencies.queue;
    this.#leader = dependencies.leader;
    this.#state = dependencies.state;
  }

  async start(): Promise<void> {
    this.#stopProcessing = await this.#queue.process((job) => this.#record(job.draft));
  }

  async stop(): Promise<void> {
    await this.#stopProcessing?.();
    this.#stopProcessing = null;
  }

  /** What applying the file would change, without keeping anything. */
  async plan(confPath: string): Promise<PlanResult> {
    const drafted = await this.#draft(confPath, true);
    if (!drafted.ok) return drafted;
    return { ok: true, changes: this.#changes(drafted.draft), warnings: this.#warnings(drafted) };
  }

  /** @throws ServeError STORE_UNREACHABLE or APPLY_TIMEOUT when the job could not be recorded: nothing was changed */
  async apply(confPath: string): Promise<ApplyResult> {
    const drafted = await this.#draft(confPath, false);
    if (!drafted.ok) return drafted;
    const recorded = await this.#queue.submit({ draft: drafted.draft }, this.#options.queueTimeoutMs);
    return { ok: true, recorded, warnings: this.#warnings(drafted) };
  }

  async #draft(confPath: string, dryRun: boolean): Promise<DraftResult> {
    const { snapshotsDir, digestsDir } = this.#options;
    return await draftRevision({ confPath, snapshotsDir, digestsDir, dryRun });
  }

  #warnings(drafted: DraftResult & { readonly ok: true }): readonly Finding[] {
    return [...drafted.warnings, ...capacityWarnings(drafted.draft, this.#leader)];
  }

  #changes(draft: RevisionDraft): readonly PlannedChange[] {
    return planChanges(this.#state.rollouts, draft.deployments, differences);
  }

  /** Runs in the order of the queue: plans against what is there now. */
  async #record(draft: RevisionDraft): Promise<Recorded> {
    if (this.#leader.leadership === null) {
      throw new ServeError('this head does not lead the cluster at the moment. Try again.', {
        code: 'NOT_LEADER',
      });
    }
    const changes = this.#changes(draft);
    const { revision, rollouts } = this.#state;
    const sameSettings = JSON.stringify(revision?.settings) === JSON.stringify(draft.settings);
    if (revision !== null && changes.length === 0 && sameSettings) {
      const deployments = rollouts.map((rollout) => rollout.deployment);
      return { outcome: 'unchanged', revision: revision.number, changes, deployments };
    }
    const number = await this.#leader.record(draft);
    return {
      outcome: 'recorded',
      revision: number,
      changes,
      deployments: changes.map((change) => change.deployment),
    };
  }
}
