import { readFileSync, statSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import type { DeploymentRoute } from '../cluster/routing/types.ts';
import type { Variables } from '../config/environment.ts';
import { codeOf } from '../lib/errors.ts';
import { bearerKey, sha256 } from '../lib/hash.ts';
import type { Log } from '../lib/log.ts';
import { apiKeyMissing, apiKeysUnreadable, type FrameworkError, rateExceeded } from './framework-error.ts';

/** How often a file of keys is looked at: a key that was taken out of it is refused after this time. */
const LOOK_MS = 1_000;

/** One key: what it may do still, in requests. */
interface Caller {
  readonly name: string;
  tokens: number;
  filledMs: number;
}

interface Ring {
  /** by the SHA-256 of the key: looking one up takes a time that says nothing of the keys there are */
  callers: ReadonlyMap<string, Caller>;
  /** what the source looked like when it was read; null: it could not be read */
  seen: string | null;
  lookedMs: number;
}

/**
 * Who may call a route: its `api_keys` name a file or a variable of this node, which hold `name = key` per line. A key comes as
 * `authorization: Bearer KEY` or `x-api-key: KEY`. Keys that cannot be read open nothing.
 */
export class ApiKeys {
  readonly #variables: Variables;
  readonly #log: Log;
  readonly #rings = new Map<string, Ring>();

  constructor(variables: Variables, log: Log) {
    this.#variables = variables;
    this.#log = log;
  }

  /** @returns why the request may not go on; null: it may */
  refusal(request: IncomingMessage, route: DeploymentRoute, nowMs: number): FrameworkError | null {
    const { apiKeys: source = null, apiRatePerS = 0 } = route; // a table of before an upgrade has neither
    if (source === null) return null;
    const ring = this.#ring(source, nowMs);
    if (ring.seen === null) return apiKeysUnreadable(route);
    const given = keyIn(request);
    const caller = given === '' ? undefined : ring.callers.get(sha256(given));
    if (caller === undefined) return apiKeyMissing(route, given !== '');
    if (apiRatePerS === 0 || takeToken(caller, apiRatePerS, nowMs)) return null;
    return rateExceeded(route, caller.name, Math.ceil((1 - caller.tokens) / apiRatePerS));
  }

  #ring(source: string, nowMs: number): Ring {
    const known = this.#rings.get(source);
    if (known !== undefined && nowMs - known.lookedMs < LOOK_MS) return known;
    const ring = known ?? { callers: new Map(), seen: '', lookedMs: nowMs };
    this.#rings.set(source, ring);
    ring.lookedMs = nowMs;
    this.#read(source, ring, nowMs);
    return ring;
  }

  #read(source: string, ring: Ring, nowMs: number): void {
    try {
      const { look, text } = this.#open(source);
      if (ring.seen === look) return;
      ring.callers = callersOf(text(), ring.callers, nowMs);
      ring.seen = look;
      this.#log.info({ source, keys: ring.callers.size }, 'API keys read');
    } catch (error) {
      if (ring.seen !== null) this.#log.error({ source, error: codeOf(error) }, 'API keys cannot be read');
      ring.seen = null;
      ring.callers = new Map();
    }
  }

  #open(source: string): { readonly look: string; readonly text: () => string } {
    const [kind, place] = [source.slice(0, source.indexOf(':')), source.slice(source.indexOf(':') + 1)];
    if (kind === 'env') {
      const value = this.#variables[place];
      if (value === undefined) throw Object.assign(new Error('not set'), { code: 'NOT_SET' });
      return { look: 'set', text: () => value };
    }
    const { ino, size, mtimeMs } = statSync(place);
    return { look: `${ino}:${size}:${mtimeMs}`, text: () => readFileSync(place, 'utf8') };
  }
}

/** Lines (in a variable also separated by commas) of `name = key`; `#` and `;` begin comments. */
function callersOf(
  text: string,
  before: ReadonlyMap<string, Caller>,
  nowMs: number,
): ReadonlyMap<string, Caller> {
  const callers = new Map<string, Caller>();
  for (const line of text.split(/[\n,]/).map((one) => one.trim())) {
    const [, name, key] = /^([^=#;\s][^=]*?)\s*=\s*(\S+)$/.exec(line) ?? [];
    if (name === undefined || key === undefined) continue;
    const hash = sha256(key);
    callers.set(hash, before.get(hash) ?? { name, tokens: Number.POSITIVE_INFINITY, filledMs: nowMs });
  }
  return callers;
}

/** A second's worth may come at once. */
function takeToken(caller: Caller, perS: number, nowMs: number): boolean {
  const most = Math.max(1, perS);
  caller.tokens = Math.min(most, caller.tokens + ((nowMs - caller.filledMs) / 1000) * perS);
  caller.filledMs = nowMs;
  if (caller.tokens < 1) return false;
  caller.tokens -= 1;
  return true;
}

function keyIn({ headers }: IncomingMessage): string {
  const own = headers['x-api-key'];
  return typeof own === 'string' ? own : bearerKey(headers.authorization);
}
