import { parseEnvironment } from '../cluster/environments/choose.ts';
import type { DeploymentSpec, MemoryStream } from '../cluster/spec/types.ts';
import { canonicalJson, type JsonValue } from '../lib/json.ts';
import { findJsonMistake } from './json-text.ts';
import { isModelUri, readModelUri } from './model-uri.ts';

/** What a text gave: the value, or why not (`hint`: what to write instead, '' when `expected` says it all). */
export type Reading<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly hint: string };

/**
 * How the values of a key are written: read from text and written back, so that plans and the reference page show
 * values as a person would write them. Reading what was written gives the same value.
 */
export interface ValueForm<T> {
  /** completes "expected …" in messages */
  readonly expected: string;
  read(text: string): Reading<T>;
  write(value: T): string;
}

const accept = <T>(value: T): Reading<T> => ({ ok: true, value });
const refuse = (hint = ''): Reading<never> => ({ ok: false, hint });

/** @param bounds both inclusive */
export function wholeNumber(bounds: { readonly min: number; readonly max: number }): ValueForm<number> {
  return {
    expected: `a whole number from ${bounds.min} to ${bounds.max}`,
    read: (text) => {
      const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
      return value >= bounds.min && value <= bounds.max ? accept(value) : refuse();
    },
    write: String,
  };
}

/** The value is in milliseconds, the text in seconds with up to three decimals. */
export function seconds(bounds: { readonly minMs: number; readonly maxMs: number }): ValueForm<number> {
  return {
    expected: `seconds from ${writeMilli(bounds.minMs)} to ${writeMilli(bounds.maxMs)}, with at most 3 decimals`,
    read: (text) => {
      const valueMs = readMilli(text);
      if (valueMs === null) return refuse();
      return valueMs >= bounds.minMs && valueMs <= bounds.maxMs ? accept(valueMs) : refuse();
    },
    write: writeMilli,
  };
}

/** Far above any machine, and far below where products of milli-units lose precision. */
const MOST_UNITS_MILLI = 1_000_000;

/** The value is in thousandths of a GPU. */
export const gpuShare: ValueForm<number> = {
  expected: 'a fraction of one GPU with at most 3 decimals (such as 0.25), or a whole number of GPUs',
  read: (text) => {
    const milli = readMilli(text);
    if (milli === null || milli > MOST_UNITS_MILLI) return refuse();
    if (milli <= 1000 || milli % 1000 === 0) return accept(milli);
    const whole = Math.floor(milli / 1000);
    return refuse(`did you mean ${whole} or ${whole + 1}? From 1 up a replica gets whole GPUs`);
  },
  write: writeMilli,
};

/** The value is in thousandths of a CPU. */
export const cpuShare: ValueForm<number> = {
  expected: 'a number of CPUs from 0 up, with at most 3 decimals',
  read: (text) => {
    const milli = readMilli(text);
    return milli === null || milli > MOST_UNITS_MILLI ? refuse() : accept(milli);
  },
  write: writeMilli,
};

const UNITS: readonly (readonly [name: string, bytes: number])[] = [
  ['TiB', 1024 ** 4],
  ['GiB', 1024 ** 3],
  ['MiB', 1024 ** 2],
  ['KiB', 1024],
  ['TB', 1000 ** 4],
  ['GB', 1000 ** 3],
  ['MB', 1000 ** 2],
  ['kB', 1000],
  ['B', 1],
];
const MOST_BYTES = 1024 ** 5;

/** The value is in bytes. A number without unit is bytes, too. */
export function byteSize(bounds: { readonly minBytes: number }): ValueForm<number> {
  return {
    expected: `a size such as 512MiB or 2GiB${bounds.minBytes === 0 ? ', or 0' : ''}`,
    read: (text) => {
      const match = /^(\d{1,15}(?:\.\d{1,9})?)\s*([a-z]*)$/i.exec(text);
      if (match === null) return refuse();
      const unit = (match[2] ?? '').toLowerCase() || 'b';
      const factor = UNITS.find(([name]) => name.toLowerCase() === unit)?.[1];
      if (factor === undefined) return refuse('the units are B, kB, MB, GB, TB and KiB, MiB, GiB, TiB');
      const bytes = Math.round(Number(match[1]) * factor);
      return bytes >= bounds.minBytes && bytes <= MOST_BYTES ? accept(bytes) : refuse();
    },
    write: (bytes) => {
      const [name, factor] = UNITS.find(([, size]) => bytes > 0 && bytes % size === 0) ?? ['', 1];
      return `${bytes / factor}${name === 'B' ? '' : name}`;
    },
  };
}

export const className: ValueForm<string> = {
  expected: 'the name of a class',
  read: (text) => (/^[\p{L}_$][\p{L}\p{M}\p{N}_$]*$/u.test(text) ? accept(text) : refuse()),
  write: (name) => name,
};

export const modelNames: ValueForm<readonly string[]> = {
  expected: 'file names below Model_ZOO or URIs, separated by commas',
  read: (text) => {
    const names = text
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '');
    const wrong = names.map(mistakeInModel).find((mistake) => mistake !== null);
    return wrong === undefined ? accept(names) : refuse(wrong);
  },
  write: (names) => names.join(', '),
};

/** First segments that the ingress answers itself, now or in a version to come. */
const RESERVED_SEGMENTS = ['-', 'api', 'metrics', 'v1', 'v2'];

export const routePath: ValueForm<string> = {
  expected: 'a path such as extract or team/extract, of letters, digits, "-", "_", "." and "~"',
  read: (text) => {
    const route = withoutSlashes(text);
    const segments = route.split('/');
    if (segments.some((segment) => !/^(?!\.{1,2}$)[\w.~-]+$/.test(segment))) return refuse();
    if (!RESERVED_SEGMENTS.includes(segments[0] ?? '')) return accept(route);
    return refuse(`as the first part of a route ${RESERVED_SEGMENTS.join(', ')} are reserved`);
  },
  write: (route) => route,
};

/** Without the slashes around it; an expression would look for those at the end from each slash on. */
function withoutSlashes(text: string): string {
  let [start, end] = [0, text.length];
  while (text[start] === '/') start += 1;
  while (end > start && text[end - 1] === '/') end -= 1;
  return text.slice(start, end);
}

/** @returns what to do about it, or null */
function mistakeInModel(name: string): string | null {
  if (isModelUri(name)) {
    const reading = readModelUri(name);
    return reading.ok ? null : reading.hint;
  }
  const isOutside = name.startsWith('/') || name.split('/').includes('..');
  return isOutside ? `"${name}" leads out of Model_ZOO: put the file there (or a link to it)` : null;
}

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];

/** In a fixed order, so that the same methods are the same value. POST is always among them. */
export const httpMethods: ValueForm<readonly string[]> = {
  expected: `one or more of ${METHODS.join(', ')}, separated by commas`,
  read: (text) => {
    const named = text.split(',').map((method) => method.trim().toUpperCase());
    if (named.some((method) => !METHODS.includes(method))) return refuse();
    return accept(METHODS.filter((method) => method === 'POST' || named.includes(method)));
  },
  write: (methods) => methods.join(', '),
};

/** What one frame of the channel (64 KiB) carries beside its envelope: a changed user_config travels in one. */
const MOST_CONFIG_BYTES = 60_000;

/** null is written as nothing. The text of a value given as `@file.json` is that file's. */
export const jsonValue: ValueForm<JsonValue | null> = {
  expected: `JSON of at most ${MOST_CONFIG_BYTES} bytes, or @ and the path of a JSON file`,
  read: (text) => {
    if (text === '') return accept(null);
    if (findJsonMistake(text) !== null) return refuse();
    const value = JSON.parse(text) as JsonValue;
    if (Buffer.byteLength(canonicalJson(value)) <= MOST_CONFIG_BYTES) return accept(value);
    return refuse('put what is larger into a file of the package, or into Model_ZOO, and name it here');
  },
  write: (value) => (value === null ? '' : canonicalJson(value)),
};

export const pythonInterpreter: ValueForm<string | null> = {
  expected: 'a version such as 3.9, or the absolute path of an interpreter',
  read: (text) => {
    if (text === '') return accept(null);
    return /^(?:3(?:\.\d{1,2}){0,2}|\/.+)$/.test(text) ? accept(text) : refuse();
  },
  write: (python) => python ?? '',
};

export const environmentKind: ValueForm<string | null> = {
  expected: 'venv, conda, conda:NAME, system, python:/PATH or npm',
  read: (text) => {
    if (text === '') return accept(null);
    return parseEnvironment(text) === null ? refuse() : accept(text);
  },
  write: (environment) => environment ?? '',
};

export const wheelFolder: ValueForm<string | null> = {
  expected: 'a folder inside the package, such as wheels, or an absolute path',
  read: (text) => {
    if (text === '') return accept(null);
    const plain = text.replace(/^(?:\.\/+)+/, '');
    const folder = plain.startsWith('/') ? `/${withoutSlashes(plain)}` : withoutSlashes(plain);
    const isOutside = folder === '' || folder === '.' || folder.split('/').includes('..');
    return isOutside ? refuse() : accept(folder);
  },
  write: (folder) => folder ?? '',
};

/** Where a secret is found on a node; the secret itself never stands in conf.ini, which revisions keep. */
export const secretSource: ValueForm<string | null> = {
  expected: 'env:NAME or file:/ABSOLUTE/PATH',
  read: (text) => {
    if (text === '') return accept(null);
    return /^env:[A-Za-z_]\w*$/.test(text) || /^file:\/\S/.test(text) ? accept(text) : refuse();
  },
  write: (source) => source ?? '',
};

const ACCOUNT = '(?:[A-Za-z_][\\w.-]{0,31}|\\d{1,9})';
const USER = new RegExp(`^${ACCOUNT}(?::${ACCOUNT})?$`);

/** Whom replicas run as; whether a node has such a user is known there alone. */
export const userName: ValueForm<string | null> = {
  expected: 'a user, or user:group, by name or number',
  read: (text) => {
    if (text === '') return accept(null);
    if (!USER.test(text)) return refuse();
    return /^(?:root|0+)(?::|$)/.test(text)
      ? refuse('leave the line out for what runs as the node does')
      : accept(text);
  },
  write: (user) => user ?? '',
};

const EXPOSURES = { auto: 'loopback', on: 'always', off: 'never' } as const;

export const exposure: ValueForm<DeploymentSpec['exposeErrors']> = {
  expected: 'auto, on or off',
  read: (text) => {
    const isOn = readSwitch(text);
    if (isOn !== null) return accept(isOn ? EXPOSURES.on : EXPOSURES.off);
    return text.toLowerCase() === 'auto' ? accept(EXPOSURES.auto) : refuse();
  },
  write: (value) => Object.entries(EXPOSURES).find(([, meaning]) => meaning === value)?.[0] ?? value,
};

export const onOrOff: ValueForm<boolean> = {
  expected: 'on or off',
  read: (text) => {
    const isOn = readSwitch(text);
    return isOn === null ? refuse() : accept(isOn);
  },
  write: (isOn) => (isOn ? 'on' : 'off'),
};

const SWITCHES: ReadonlyMap<string, boolean> = new Map([
  ['on', true],
  ['true', true],
  ['off', false],
  ['false', false],
]);

/** Upper and lower case are the same here. @returns null where the text is no switch */
export function readSwitch(text: string): boolean | null {
  return SWITCHES.get(text.toLowerCase()) ?? null;
}

const MEMORY_EXPIRE_S = 120;
const LONGEST_EXPIRE_S = 86_400;

export const streamMode: ValueForm<boolean | MemoryStream> = {
  expected: `on, off, memory, or memory:SECONDS with 1 to ${LONGEST_EXPIRE_S}`,
  read: (text) => {
    const [, seconds = String(MEMORY_EXPIRE_S)] = /^memory(?::(\d{1,5}))?$/i.exec(text) ?? [null, ''];
    const expireS = Number(seconds);
    if (seconds === '') return onOrOff.read(text);
    return expireS < 1 || expireS > LONGEST_EXPIRE_S ? refuse() : accept({ expireMs: expireS * 1000 });
  },
  write: (mode) => (typeof mode === 'boolean' ? onOrOff.write(mode) : `memory:${mode.expireMs / 1000}`),
};

/** Up to three decimals; more are a mistake, since the rest would be lost. */
function readMilli(text: string): number | null {
  const match = /^(\d{0,9})(?:\.(\d{1,3})0*)?$/.exec(text);
  if (match === null || text === '') return null;
  return Number(match[1] ?? 0) * 1000 + Number((match[2] ?? '').padEnd(3, '0'));
}

function writeMilli(milli: number): string {
  return String(milli / 1000);
}
