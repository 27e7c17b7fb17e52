import { join } from 'node:path';
import { type EligibleNode, settleEnvironment } from '../cluster/environments/settle.ts';
import type { ClusterSettings, DeploymentSpec, PinnedSpec, RevisionOrigin } from '../cluster/spec/types.ts';
import { type CompiledConf, compileConf, compileText, type Finding } from '../config/compile.ts';
import { isModelUri } from '../config/model-uri.ts';
import { pinSpec } from '../config/pin.ts';
import { mapConcurrently } from '../lib/concurrency.ts';
import type { ContentStore } from '../lib/content/content-store.ts';
import type { Room } from '../lib/content/room.ts';
import { messageOf } from '../lib/errors.ts';
import { keepModels } from '../models/keep-models.ts';
import { type ReadModel, readModels } from '../models/pins.ts';
import type { RemoteModels } from '../models/remote-models.ts';
import { readDependencyFiles } from '../packages/dependency-files.ts';
import { hashPackage, snapshotPackage } from '../packages/snapshot.ts';

/** A conf.ini with everything pinned that it names: what the apply job carries and the leader records. */
export interface RevisionDraft {
  readonly confPath: string;
  readonly confText: string;
  readonly settings: ClusterSettings;
  readonly deployments: readonly PinnedSpec[];
  /** not there: a conf.ini is applied */
  readonly origin?: RevisionOrigin;
}

export type DraftResult =
  | {
      readonly ok: true;
      readonly draft: RevisionDraft;
      readonly warnings: readonly Finding[];
      /** what each deployment runs in, for people */
      readonly environments: ReadonlyMap<string, string>;
    }
  | { readonly ok: false; readonly mistakes: readonly Finding[]; readonly warnings: readonly Finding[] };

/** What is to be applied: a conf.ini that this head sees, or one that came over the network with its project. */
export interface ApplySource {
  /** as whoever applies it calls it */
  readonly confPath: string;
  /** names an upload; null: confPath is a path on this machine */
  readonly upload: string | null;
}

export interface DraftOptions {
  readonly confPath: string;
  /** taken for the file's content; null: the file is read */
  readonly confText: string | null;
  /** of an upload: what the file is called where it came from; null: as it is here */
  readonly uploadedFrom: string | null;
  /** what stands for the project folder of an upload: a path where nothing is, the same for all */
  readonly uploadedDir: string;
  readonly snapshotsDir: string;
  /** StatePaths.digests: what big files hashed to, so that the same apply is quick */
  readonly digestsDir: string;
  /** where models are kept by their hashes */
  readonly contents: ContentStore;
  readonly room: Room;
  /** nodes that a deployment may be placed on */
  readonly nodesFor: (spec: DeploymentSpec) => readonly EligibleNode[];
  /** gets what URIs name */
  readonly remote: Pick<RemoteModels, 'obtain'>;
  /** only hash packages and models, keep and fetch none: for a dry run */
  readonly dryRun: boolean;
  /** ends what is being fetched; until it comes, what the draft names stays on this machine */
  readonly signal: AbortSignal;
}

/** Each of them has several requests under way. */
const FETCHES_AT_ONCE = 2;

/**
 * Reads a conf.ini, snapshots its packages and hashes its models. Done before the apply job, so that the job itself
 * takes milliseconds.
 */
export async function draftRevision(options: DraftOptions): Promise<DraftResult> {
  const { confPath, uploadedFrom } = options;
  const drafted = await draftHere(options);
  if (uploadedFrom === null) return drafted;
  const named = (findings: readonly Finding[]): readonly Finding[] =>
    findings.map((one) => (one.file === confPath ? { ...one, file: uploadedFrom } : one));
  const warnings = named(drafted.warnings);
  if (!drafted.ok) return { ok: false, mistakes: named(drafted.mistakes), warnings };
  return { ...drafted, warnings, draft: { ...drafted.draft, confPath: uploadedFrom } };
}

async function draftHere(options: DraftOptions): Promise<DraftResult> {
  const { confPath, confText } = options;
  const compiled = await (confText === null ? compileConf(confPath) : compileText(confPath, confText));
  if (!compiled.ok) return compiled;
  const { conf } = compiled;
  const unfetched = await fetchAll(conf, options);
  if (unfetched.length > 0) return { ok: false, mistakes: unfetched, warnings: conf.warnings };
  const pinned = await Promise.all(conf.deployments.map((spec) => pinOne(conf, spec, options)));
  const mistakes = pinned.flatMap((result) => (result.ok ? [] : [result.mistake]));
  if (mistakes.length > 0) return { ok: false, mistakes, warnings: conf.warnings };
  const models = pinned.flatMap((result) => (result.ok ? result.models : []));
  const kept = options.dryRun ? [] : await keepAll(models, conf, options);
  return {
    ok: true,
    warnings: [...conf.warnings, ...kept, ...pinned.flatMap((result) => (result.ok ? result.warnings : []))],
    environments: new Map(
      pinned.flatMap((result) => (result.ok ? [[result.spec.name, result.environment] as const] : [])),
    ),
    draft: {
      confPath: conf.confPath,
      confText: conf.confText,
      ...(confText === null ? {} : { origin: { kind: 'edited' as const } }),
      settings: conf.settings,
      deployments: pinned.flatMap((result) => (result.ok ? [result.spec] : [])),
    },
  };
}

type Pinned =
  | {
      readonly ok: true;
      readonly spec: PinnedSpec;
      readonly models: readonly ReadModel[];
      readonly environment: string;
      readonly warnings: readonly Finding[];
    }
  | { readonly ok: false; readonly mistake: Finding };

async function pinOne(conf: CompiledConf, spec: DeploymentSpec, options: DraftOptions): Promise<Pinned> {
  const place = { file: conf.confPath, line: null, section: `algopkg.${spec.name}`, key: null };
  try {
    const { packagesDir, modelRoot } = conf;
    const files = await readDependencyFiles(join(packagesDir, spec.packageName));
    const settled = settleEnvironment(spec, files, options.nodesFor(spec));
    if (!settled.ok) {
      const { expected, found, hint } = settled;
      return { ok: false, mistake: { ...place, key: 'environment', expected, found, hint } };
    }
    const { snapshotsDir, digestsDir } = options;
    const source = { packagesDir, packageName: spec.packageName, snapshotsDir, digestsDir };
    const pin = await (options.dryRun ? hashPackage(source) : snapshotPackage(source));
    const models = await readModels({ modelRoot, models: spec.models, digestsDir }, (uri) =>
      fetchModel({ uri, isStreamed: spec.stream !== false }, options),
    );
    const modelPins = models.map((model) => model.pin);
    const { environment, description, warning } = settled;
    return {
      ok: true,
      models,
      environment: description,
      warnings: [
        ...(warning === '' ? [] : [{ ...place, ...DIFFERENT_PYTHONS, hint: warning }]),
        ...unstreamedWarnings(spec, models).map((what) => ({ ...place, key: 'stream', ...what })),
      ],
      spec: pinSpec({ ...spec, environment }, { package: pin, modelPins, ...foldersOf(conf, options) }),
    };
  } catch (error) {
    return {
      ok: false,
      mistake: {
        ...place,
        expected: `a readable package in ${join(conf.packagesDir, spec.packageName)} and readable model files`,
        found: messageOf(error),
        hint: '',
      },
    };
  }
}

/** What is said of models that are to be streamed and cannot be. */
function unstreamedWarnings(
  { stream, models }: DeploymentSpec,
  read: readonly ReadModel[],
): readonly Pick<Finding, 'expected' | 'found' | 'hint'>[] {
  if (stream !== false && !models.some(isModelUri)) {
    const found = models.length === 0 ? 'no model' : 'files below Model_ZOO alone';
    return [{ expected: 'a URI in `model`', found, hint: 'there is nothing to stream: leave the line out' }];
  }
  return read.flatMap(({ pin, unstreamed }) =>
    unstreamed == null
      ? []
      : [
          {
            expected: 'models that can come in parts',
            found: `${pin.name}, of which that is not so: ${unstreamed}`,
            hint: 'it is fetched as a whole, before any replica starts',
          },
        ],
  );
}

const DIFFERENT_PYTHONS = {
  key: 'python',
  expected: 'the same Python on every node',
  found: 'different ones',
};

/** The same for every upload, so that a replica is replaced for what changed in it, and not for how it came. */
function foldersOf(
  { projectDir, modelRoot }: CompiledConf,
  { uploadedFrom, uploadedDir }: DraftOptions,
): Pick<PinnedSpec, 'projectDir' | 'modelRoot'> {
  if (uploadedFrom === null) return { projectDir, modelRoot };
  return { projectDir: uploadedDir, modelRoot: join(uploadedDir, 'Model_ZOO') };
}

/**
 * Fetches what URIs name before anything is snapshotted: that may take hours, after which a snapshot could have been
 * tidied away. What is pinned later asks the servers again, and finds it here.
 * @returns a mistake for each that cannot be had
 */
async function fetchAll(conf: CompiledConf, options: DraftOptions): Promise<readonly Finding[]> {
  const named = conf.deployments.flatMap(({ name, models, stream }) =>
    models
      .filter(isModelUri)
      .map((uri) => ({ uri, isStreamed: stream !== false, section: `algopkg.${name}` })),
  );
  // What one section wants whole before it starts is whole for all that name it.
  const eager = [...named].sort((left, right) => Number(right.isStreamed) - Number(left.isStreamed));
  const distinct = [...new Map(eager.map((one) => [one.uri, one])).values()];
  const found = await mapConcurrently(distinct, FETCHES_AT_ONCE, async ({ section, ...wish }) => {
    try {
      await fetchModel(wish, options);
      return [];
    } catch (error) {
      options.signal.throwIfAborted();
      const what = { expected: 'a model that can be fetched', found: messageOf(error), hint: '' };
      return [{ file: conf.confPath, line: null, section, key: 'model', ...what }];
    }
  });
  return found.flat();
}

async function fetchModel(
  { uri, isStreamed }: { readonly uri: string; readonly isStreamed: boolean },
  { remote, dryRun, signal }: DraftOptions,
): Promise<ReadModel> {
  return await remote.obtain(uri, { isDryRun: dryRun, isStreamed, signal });
}

/** Keeps each model once, however many deployments name it. @returns a warning for each that has to be used in place */
async function keepAll(
  models: readonly ReadModel[],
  conf: CompiledConf,
  { contents, room, uploadedFrom, signal }: DraftOptions,
): Promise<readonly Finding[]> {
  const here = models.filter(({ content }) => content.root !== '');
  const byHash = new Map(here.map((model) => [model.content.hash, model]));
  const inPlace = await keepModels(
    [...byHash.values()].map(({ content }) => content),
    { store: contents, areOurs: uploadedFrom !== null, room, signal },
  );
  return inPlace.map(({ hash, root }) => ({
    file: conf.confPath,
    line: null,
    section: null,
    key: null,
    expected: `room in the state directory for a copy of ${byHash.get(hash)?.pin.name ?? hash}`,
    found: 'too little',
    hint: `${root} is used in place: leave it as it is for as long as a revision names it`,
  }));
}
