import { pinnedBy } from '../cluster/spec/model-pin.ts';
import type {
  ClusterSettings,
  DeploymentSpec,
  Effect,
  ModelPin,
  PackagePin,
  PinnedSpec,
  PlannedChange,
  SpecHashes,
} from '../cluster/spec/types.ts';
import { hashOf } from '../lib/hash.ts';
import { canonicalJson } from '../lib/json.ts';
import {
  AGENT_KEY,
  DEPLOYMENT_KEYS,
  type DeploymentFields,
  ENVIRONMENT_KEY,
  type Key,
  SETTINGS_KEYS,
} from './schema.ts';

/** What a revision adds to a deployment: contents by hash, and where they lie. */
interface Pins {
  readonly package: PackagePin;
  readonly modelPins: readonly ModelPin[];
  /** absolute path of Model_ZOO */
  readonly modelRoot: string;
  /** absolute folder of conf.ini */
  readonly projectDir: string;
}

/** Something about a deployment that is not as it was, as text, and what has to happen for it. */
interface Difference {
  /** conf.ini key, or `package content`, `model content`, `project folder` */
  readonly key: string;
  readonly from: string;
  readonly to: string;
  readonly effect: Effect;
}

/**
 * Pins what a deployment names and hashes the result by effect: a hash is the same as long as no key with that effect
 * has changed. Contents, and the folders that a replica was started in, count to `replace`.
 */
export function pinSpec(spec: DeploymentSpec, pins: Pins): PinnedSpec {
  const values: Record<Effect, Record<string, unknown>> = {
    routing: {},
    scale: {},
    reconfigure: {},
    replace: {
      language: spec.language,
      [ENVIRONMENT_KEY.name]: spec.env,
      // In their order, which counts; without any the hash is what it was before there were agents.
      ...(spec.agents === undefined ? {} : { [AGENT_KEY.name]: Object.entries(spec.agents) }),
      package: pins.package.hash,
      models: pins.modelPins.map((pin) => [pin.name, pinnedBy(pin)]),
      folders: [pins.projectDir, pins.modelRoot],
    },
  };
  for (const { field, key } of KEYS) {
    // What has its default is left out: a key that a later version brings replaces nothing that runs.
    const isDefault =
      key.fallback !== null && canonicalJson(key.fallback(spec.name)) === canonicalJson(spec[field]);
    if (!isDefault) values[key.effect][key.name] = spec[field];
  }
  const hashes: SpecHashes = {
    routing: hashOf(values.routing),
    scale: hashOf(values.scale),
    reconfigure: hashOf(values.reconfigure),
    replace: hashOf(values.replace),
  };
  return { ...spec, ...pins, hashes };
}

/** A spec as this version knows it: keys that came after it was recorded have their defaults. */
export function completeSpec<Spec extends DeploymentSpec>(recorded: Spec): Spec {
  const defaults = KEYS.map(({ field, key }) => [field, key.fallback?.(recorded.name) ?? null]);
  return { ...Object.fromEntries(defaults), ...recorded };
}

/** What differs between two pinned versions of a deployment; empty when their hashes are equal. */
export function differences(recorded: PinnedSpec, to: PinnedSpec): readonly Difference[] {
  const from = completeSpec(recorded);
  const keys = KEYS.map(({ field, key }) => ({
    key: key.name,
    from: key.form.write(from[field]),
    to: key.form.write(to[field]),
    effect: key.effect,
  }));
  const folders = (spec: PinnedSpec) => `${spec.projectDir} with models in ${spec.modelRoot}`;
  const contents: readonly Difference[] = [
    {
      key: 'package content',
      from: shortHash(from.package.hash),
      to: shortHash(to.package.hash),
      effect: 'replace',
    },
    { key: 'project folder', from: folders(from), to: folders(to), effect: 'replace' },
  ];
  return [...keys, ...openPairs(from, to), ...contents, ...modelPairs(from, to)].filter(
    (pair) => pair.from !== pair.to,
  );
}

/**
 * How two states of `[MODEL SERVE]` differ, key by key, with values as a conf.ini has them. What the first lacks, being
 * recorded by an earlier version, counts as its default.
 */
export function settingsDifferences(
  from: ClusterSettings,
  to: ClusterSettings,
): PlannedChange['differences'] {
  return Object.entries<Key<unknown>>(SETTINGS_KEYS)
    .map(([field, { name, form, fallback }]) => ({
      key: name,
      from: form.write(from[field as keyof ClusterSettings] ?? fallback?.('')),
      to: form.write(to[field as keyof ClusterSettings]),
    }))
    .filter((pair) => pair.from !== pair.to);
}

const KEYS = Object.entries<Key<unknown>>(DEPLOYMENT_KEYS).map(([field, key]) => ({
  field: field as keyof DeploymentFields,
  key,
}));

/** Keys that a section may have any number of. */
function openPairs(from: PinnedSpec, to: PinnedSpec): readonly Difference[] {
  return [
    ...pairsOf(ENVIRONMENT_KEY, from.env, to.env),
    ...pairsOf(AGENT_KEY, from.agents ?? {}, to.agents ?? {}),
  ];
}

function pairsOf(
  { prefix, effect }: typeof ENVIRONMENT_KEY | typeof AGENT_KEY,
  from: Readonly<Record<string, string>>,
  to: Readonly<Record<string, string>>,
): readonly Difference[] {
  const names = new Set([...Object.keys(from), ...Object.keys(to)]);
  const valueIn = (values: Readonly<Record<string, string>>, name: string) =>
    Object.hasOwn(values, name) ? JSON.stringify(values[name]) : 'not set';
  return [...names].sort().map((name) => ({
    key: `${prefix}${name}`,
    from: valueIn(from, name),
    to: valueIn(to, name),
    effect,
  }));
}

/** Models that both name: one that only one of them names differs by the key `model`. */
function modelPairs(from: PinnedSpec, to: PinnedSpec): readonly Difference[] {
  const before = new Map(from.modelPins.map((pin) => [pin.name, pin]));
  return to.modelPins.flatMap((pin) => {
    const old = before.get(pin.name);
    if (old === undefined || pinnedBy(old) === pinnedBy(pin)) return []; // an image may be packed otherwise
    const describe = (one: ModelPin) =>
      `${one.name} ${one.image === undefined ? shortHash(pinnedBy(one)) : `sha256:${shortHash(one.image.replace('sha256:', ''))}`}`;
    return [{ key: 'model content', from: describe(old), to: describe(pin), effect: 'replace' as const }];
  });
}

/** Enough to tell two apart, and short enough for a line of a plan. */
function shortHash(hash: string): string {
  return hash.slice(0, 12);
}
