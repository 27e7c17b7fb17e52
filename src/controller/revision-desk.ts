import { existsSync } from 'node:fs';
import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { planChanges } from '../cluster/spec/plan-changes.ts';
import type { ClusterSettings, ModelPin, PlannedChange, Revision } from '../cluster/spec/types.ts';
import type { RevisionSummary } from '../cluster/status/types.ts';
import { compileText, type Finding } from '../config/compile.ts';
import { linesOf, type PlacedFinding, placeFinding } from '../config/finding.ts';
import { differences, settingsDifferences } from '../config/pin.ts';
import type { ContentStore } from '../lib/content/content-store.ts';
import { messageOf, ServeError } from '../lib/errors.ts';
import { writeDurably } from '../lib/files.ts';
import type { Listings } from '../models/streaming/listings.ts';
import type { ApplyDesk, ApplyResult, PlanResult } from './apply-desk.ts';
import type { DraftResult } from './draft.ts';
import { FROM_FILE, type LeaderState, wantRevision } from './leader-state.ts';
import type { DurableRevisions } from './revisions.ts';

export interface RevisionDeskOptions {
  /** conf.ini of a cluster that has no revision yet */
  readonly confPath: string;
  /** what stands for the project folder of an upload, see DraftOptions */
  readonly uploadedDir: string;
}

export interface RevisionDeskDependencies {
  readonly revisions: Pick<DurableRevisions, 'numbers' | 'read'>;
  readonly state: LeaderState;
  readonly desk: Pick<ApplyDesk, 'planDrafted' | 'applyDrafted' | 'draftText'>;
  readonly contents: Pick<ContentStore, 'find'>;
  readonly listings: Pick<Listings, 'read'>;
}

interface Edit {
  readonly base: number | null;
  readonly change:
    | { readonly kind: 'edited'; readonly text: string }
    | { readonly kind: 'rollback'; readonly of: number };
}

/** Revisions as people handle them: lists, differences, going back to one, and editing the newest one's conf.ini. */
export class RevisionDesk {
  readonly #options: RevisionDeskOptions;
  readonly #dependencies: RevisionDeskDependencies;

  constructor(options: RevisionDeskOptions, dependencies: RevisionDeskDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  /** Newest first. */
  async list(): Promise<readonly RevisionSummary[]> {
    const { revisions } = this.#dependencies;
    const all: RevisionSummary[] = [];
    for (const number of await revisions.numbers()) {
      const revision = await revisions.read(number);
      if (revision !== null) all.push(this.#summary(revision));
    }
    return all.reverse();
  }

  /** @throws ServeError REVISION_UNKNOWN */
  async read(
    number: number,
  ): Promise<RevisionSummary & { readonly confText: string; readonly settings: ClusterSettings }> {
    const revision = await this.#find(number);
    return { ...this.#summary(revision), confText: revision.confText, settings: revision.settings };
  }

  /** @throws ServeError REVISION_UNKNOWN */
  async diff(
    from: number,
    to: number,
  ): Promise<{
    readonly from: number;
    readonly to: number;
    readonly changes: readonly PlannedChange[];
    readonly settings: PlannedChange['differences'];
  }> {
    const [before, after] = [await this.#find(from), await this.#find(to)];
    const changes = planChanges(wantRevision([], before), after.deployments, differences);
    return { from, to, changes, settings: settingsDifferences(before.settings, after.settings) };
  }

  /** @throws ServeError CONF_ELSEWHERE */
  async validate(
    text: string,
  ): Promise<{ readonly ok: boolean; readonly findings: readonly PlacedFinding[] }> {
    const result = await compileText(this.#editablePath(), text);
    const warnings = result.ok ? result.conf.warnings : result.warnings;
    const lines = linesOf(text);
    const placed = [
      ...(result.ok ? [] : result.mistakes).map((one) => placeFinding(one, 'mistake', lines)),
      ...warnings.map((one) => placeFinding(one, 'warning', lines)),
    ];
    return { ok: result.ok, findings: placed.sort((left, right) => (left.line ?? 0) - (right.line ?? 0)) };
  }

  /** What it would change. @throws ServeError REVISION_MOVED, REVISION_UNKNOWN, REVISION_INCOMPLETE, CONF_ELSEWHERE */
  async plan(edit: Edit, signal: AbortSignal): Promise<PlanResult> {
    return this.#dependencies.desk.planDrafted(await this.#draft(edit, { dryRun: true, signal }));
  }

  /**
   * Brings it into force. An edited text also goes into conf.ini where that still says what the newest revision did.
   * @throws ServeError as `plan`, and what ApplyDesk throws
   */
  async apply(edit: Edit, signal: AbortSignal): Promise<ApplyResult> {
    const over = new AbortController();
    try {
      return await this.#apply(edit, AbortSignal.any([signal, over.signal]));
    } finally {
      over.abort(); // what it names is recorded now, or not wanted
    }
  }

  async #apply({ base, change }: Edit, signal: AbortSignal): Promise<ApplyResult> {
    const drafted = await this.#draft({ base, change }, { dryRun: false, signal });
    if (change.kind === 'rollback') {
      const result = await this.#dependencies.desk.applyDrafted(drafted, base);
      return withWarning(result, fileAsItWas(drafted.ok ? drafted.draft.confPath : ''));
    }
    const before = this.#dependencies.state.revision;
    const isOnDisk = before !== null && (await textAt(before.confPath)) === before.confText;
    const result = await this.#dependencies.desk.applyDrafted(drafted, base);
    if (!result.ok || !drafted.ok) return result;
    return withWarning(result, await this.#writeBack(drafted.draft, isOnDisk));
  }

  async #draft(
    { base, change }: Edit,
    how: { readonly dryRun: boolean; readonly signal: AbortSignal },
  ): Promise<DraftResult> {
    this.#requireBase(base);
    if (change.kind === 'edited') {
      const source = { confPath: this.#editablePath(), confText: change.text };
      return await this.#dependencies.desk.draftText(source, how);
    }
    const revision = await this.#find(change.of);
    await this.#requireContents(revision);
    const { number: of, createdAtMs: _, ...content } = revision;
    const origin = { kind: 'rollback', of } as const;
    return { ok: true, draft: { ...content, origin }, warnings: [], environments: new Map() };
  }

  /** Early, before anything is read: the queue asks again. */
  #requireBase(base: number | null): void {
    const newest = this.#dependencies.state.revision?.number ?? 0;
    if (base === null || base === newest) return;
    throw new ServeError(
      `expected revision ${base} to be the newest, found ${newest}: somebody has applied a change meanwhile. Look at it and try again on top of it.`,
      { code: 'REVISION_MOVED' },
    );
  }

  /** Where the conf.ini lies that the newest revision came from. */
  #editablePath(): string {
    const { revision } = this.#dependencies.state;
    if (revision === null) return this.#options.confPath;
    const { confPath, number } = revision;
    const isUpload = revision.deployments.some(({ projectDir }) => projectDir === this.#options.uploadedDir);
    if (!isUpload && existsSync(dirname(confPath))) return confPath;
    throw new ServeError(
      `the project of revision ${number} is not on the head: it came from ${confPath}. Edit it there and run \`modelserve controller\`.`,
      { code: 'CONF_ELSEWHERE' },
    );
  }

  async #find(number: number): Promise<Revision> {
    const { revisions } = this.#dependencies;
    const revision = await revisions.read(number);
    if (revision !== null) return revision;
    const kept = await revisions.numbers();
    const there = kept.length === 0 ? 'there is none yet' : `kept are ${rangesText(kept)}`;
    throw new ServeError(`there is no revision ${number} on the head's disk: ${there}`, {
      code: 'REVISION_UNKNOWN',
    });
  }

  /** Code and models of old revisions go in time: one whose are gone cannot be returned to. */
  async #requireContents({ number, deployments }: Revision): Promise<void> {
    const missing: string[] = [];
    for (const spec of deployments) {
      if (!existsSync(spec.package.snapshotDir)) missing.push(`the code of ${spec.name}`);
      for (const pin of spec.modelPins) {
        if (!(await this.#canBeHad(pin))) missing.push(`model ${pin.name} of ${spec.name}`);
      }
    }
    if (missing.length === 0) return;
    throw new ServeError(
      `revision ${number} cannot be returned to: the head has no longer ${missing.join(', ')}. Put the files back and run \`modelserve controller\`.`,
      { code: 'REVISION_INCOMPLETE' },
    );
  }

  /** One that is streamed comes again from its server, if that has it still. */
  async #canBeHad(pin: ModelPin): Promise<boolean> {
    const { contents, listings } = this.#dependencies;
    if (pin.sha256 === null) return (await listings.read(pin.listing)) !== null;
    return (await contents.find(pin.sha256)) !== null;
  }

  #summary(revision: Revision): RevisionSummary {
    const { number, createdAtMs, confPath, origin = FROM_FILE, deployments } = revision;
    const { state } = this.#dependencies;
    return {
      ...{ number, confPath, origin },
      createdAt: new Date(createdAtMs).toISOString(),
      deployments: deployments.map(({ name }) => name),
      inForce: state.rollouts
        .filter(({ lastGood }) => lastGood?.revision === number)
        .map(({ deployment }) => deployment),
      isNewest: number === state.revision?.number,
    };
  }

  /** @returns a warning where conf.ini does not say what is in force now */
  async #writeBack(
    { confPath, confText }: { readonly confPath: string; readonly confText: string },
    isOnDisk: boolean,
  ): Promise<Finding | null> {
    if (!isOnDisk) return fileAsItWas(confPath);
    try {
      const path = await realpath(confPath);
      await writeDurably(path, confText, (await stat(path)).mode & 0o777);
      await this.#dependencies.state.noteRead({ confPath, confText });
      return null;
    } catch (error) {
      return { ...fileAsItWas(confPath), found: `that it cannot be written (${messageOf(error)})` };
    }
  }
}

function fileAsItWas(file: string): Finding {
  return {
    ...{ file, line: null, section: null, key: null },
    expected: 'the file to say what is in force now',
    found: 'that it says something else',
    hint: 'it was left as it is, and `modelserve controller` brings what it says into force',
  };
}

function withWarning(result: ApplyResult, warning: Finding | null): ApplyResult {
  if (!result.ok || warning === null || result.recorded.outcome === 'unchanged') return result;
  return { ...result, warnings: [...result.warnings, warning] };
}

async function textAt(path: string): Promise<string | null> {
  return await readFile(path, 'utf8').catch(() => null);
}

/** `1 to 4, 7`. */
function rangesText(ascending: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const number of ascending) {
    const last = ranges.at(-1);
    if (last?.[1] === number - 1) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first} to ${last}`)).join(', ');
}
