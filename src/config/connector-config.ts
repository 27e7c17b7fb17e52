import { ServeError } from '../lib/errors.ts';
import { findJsonMistake, lineAndColumn } from './json-text.ts';

/** What a connector to OSS writes down: everything, or from that level up. */
export type ConnectorLogLevel = 'debug' | 'info' | 'warn' | 'error';

/** How much is asked for at once: threads times connections of each. */
export interface ConnectorWorkers {
  readonly vcpus: number;
  readonly workers: number;
}

/** `config.json` of a connector to OSS, with defaults filled in. */
export interface ConnectorConfig {
  readonly logLevel: ConnectorLogLevel;
  readonly logPath: string;
  /** one line for each remote request */
  readonly auditPath: string;
  readonly prefetch: ConnectorWorkers & {
    /** what may be held in memory at the same time; null: a share of what is free */
    readonly memoryBytes: number | null;
    /** where it is held: a folder of a file system in memory */
    readonly directory: string;
  };
  readonly fastList: ConnectorWorkers;
  /** how long memory is kept after its last use, where nobody says that it is done with */
  readonly expireTimeSec: number;
}

/** A configuration, and what in its text has no effect. */
export interface ConnectorConfigReading {
  readonly config: ConnectorConfig;
  /** one sentence each */
  readonly warnings: readonly string[];
}

class ConnectorConfigError extends ServeError<{ readonly code: 'CONNECTOR_CONFIG' }> {
  override readonly name = 'ConnectorConfigError';
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
const MOST = { vcpus: 1024, workers: 4096, seconds: 365 * 86_400 } as const;

interface Rule {
  readonly byDefault: unknown;
  readonly expected: string;
  readonly isRight: (value: unknown) => boolean;
}

const RULES: Readonly<Record<string, Rule>> = {
  logLevel: {
    byDefault: 1,
    expected: '0 (debug), 1 (info), 2 (warn) or 3 (error)',
    isRight: (value) => isWithin(value, 0, 3),
  },
  logPath: pathRule('/var/log/oss-connector/connector.log'),
  auditPath: pathRule('/var/log/oss-connector/audit.log'),
  expireTimeSec: countRule(120, MOST.seconds),
  'prefetch.vcpus': countRule(16, MOST.vcpus),
  'prefetch.workers': countRule(16, MOST.workers),
  'prefetch.memoryBytes': {
    byDefault: null,
    expected: 'a number of bytes from 1 up',
    isRight: (value) => isWithin(value, 1, Number.MAX_SAFE_INTEGER),
  },
  'prefetch.directory': pathRule('/dev/shm'),
  'fastList.vcpus': countRule(1, MOST.vcpus),
  'fastList.workers': countRule(16, MOST.workers),
};
const GROUPS = ['prefetch', 'fastList'];

/** What holds where no file is given. */
export function defaultConnectorConfig(): ConnectorConfig {
  return configOf(new Map());
}

/**
 * Reads the text of a `config.json`; keys that are not known are told of and left.
 * @param name of the file, for messages
 * @throws ConnectorConfigError with line and column where it is no JSON, or naming the key
 */
export function readConnectorConfig(text: string, name: string): ConnectorConfigReading {
  const mistake = findJsonMistake(text);
  if (mistake !== null) {
    const { line, column } = lineAndColumn(text, mistake.offset);
    const found = text.charAt(mistake.offset) || 'the end of the file';
    throw invalid(`${name}:${line}:${column}: expected ${mistake.expected}, found ${found}`);
  }
  const values = new Map<string, unknown>();
  const warnings: string[] = [];
  for (const [key, value] of entriesOf(JSON.parse(text), name)) {
    const rule = RULES[key];
    if (rule === undefined) {
      warnings.push(`${name}: ${key} is not known and has no effect`);
      continue;
    }
    if (!rule.isRight(value)) {
      throw invalid(`${name}: ${key}: expected ${rule.expected}, found ${JSON.stringify(value)}`);
    }
    values.set(key, value);
  }
  return { config: configOf(values), warnings };
}

/** Keys as they are named in messages: those of a group with its name in front. */
function entriesOf(root: unknown, name: string): readonly (readonly [key: string, value: unknown])[] {
  return Object.entries(objectIn(root, name)).flatMap(([key, value]) => {
    if (!GROUPS.includes(key)) return [[key, value] as const];
    const members = Object.entries(objectIn(value, `${name}: ${key}`));
    return members.map(([member, inner]) => [`${key}.${member}`, inner] as const);
  });
}

function objectIn(value: unknown, place: string): object {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw invalid(`${place}: expected an object with keys, found ${JSON.stringify(value)}`);
}

function configOf(values: ReadonlyMap<string, unknown>): ConnectorConfig {
  const of = <Value>(key: string): Value => (values.get(key) ?? RULES[key]?.byDefault) as Value;
  return {
    logLevel: LEVELS[of<number>('logLevel')] ?? 'info',
    logPath: of('logPath'),
    auditPath: of('auditPath'),
    prefetch: {
      vcpus: of('prefetch.vcpus'),
      workers: of('prefetch.workers'),
      memoryBytes: of('prefetch.memoryBytes'),
      directory: of('prefetch.directory'),
    },
    fastList: { vcpus: of('fastList.vcpus'), workers: of('fastList.workers') },
    expireTimeSec: of('expireTimeSec'),
  };
}

function countRule(byDefault: number, most: number): Rule {
  return {
    byDefault,
    expected: `a whole number from 1 to ${most}`,
    isRight: (value) => isWithin(value, 1, most),
  };
}

function pathRule(byDefault: string): Rule {
  return {
    byDefault,
    expected: 'an absolute path',
    isRight: (value) => typeof value === 'string' && value.startsWith('/') && !value.includes('\0'),
  };
}

function isWithin(value: unknown, least: number, most: number): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;
}

function invalid(message: string): ConnectorConfigError {
  return new ConnectorConfigError(message, { code: 'CONNECTOR_CONFIG' });
}
