import { setTimeout as delay } from 'node:timers/promises';
import { Agent, type Dispatcher } from 'undici';
import { codeOf, messageOf } from '../../lib/errors.ts';
import { parseFailure } from './list-xml.ts';
import { pathAndQuery, type StoreRequest } from './requests.ts';
import { SourceError } from './types.ts';

export interface ExchangeOptions {
  /** how often a request is tried in all */
  readonly attempts: number;
  /** the first wait between two tries; each is twice the one before */
  readonly backoffMs: number;
  /** a server that sends nothing for this long counts as stalled */
  readonly silenceMs: number;
}

const PATIENT: ExchangeOptions = { attempts: 6, backoffMs: 250, silenceMs: 30_000 };

/** An answer whose body has to be read or dropped. */
export type Answer = Dispatcher.ResponseData;

/** How a request is made for one try: signatures hold for minutes, and tokens run out. */
export type MakeRequest = () => StoreRequest | Promise<StoreRequest>;

const MAX_CONNECTIONS = 32;
const MAX_TEXT_BYTES = 16 * 1024 ** 2;
const MAX_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** What a later try may find better. */
const PASSING = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Something that is worth another try. */
class PassingFailure extends Error {}

/** GETs with retries: what a server cannot do at the moment is tried again, what it refuses is an error with its words. */
export class Exchange {
  readonly #options: ExchangeOptions;
  readonly #connections: Agent;

  constructor(options: ExchangeOptions = PATIENT) {
    this.#options = options;
    const { silenceMs } = options;
    this.#connections = new Agent({
      connections: MAX_CONNECTIONS,
      ...{ connectTimeout: silenceMs, headersTimeout: silenceMs, bodyTimeout: silenceMs },
    });
  }

  /** Ends all connections, also those in use. Idempotent. */
  async close(): Promise<void> {
    await this.#connections.destroy();
  }

  /**
   * Makes a request, with redirects, and gives the answer to `use`, until that has had what it wants.
   * @param place what is asked, for messages
   * @throws SourceError; the signal's reason
   */
  async get<Result>(
    place: string,
    make: MakeRequest,
    use: (answer: Answer) => Promise<Result>,
    signal: AbortSignal,
  ): Promise<Result> {
    const { attempts, backoffMs } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted();
      try {
        return await this.#once(place, make, use, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!isPassing(error)) throw error;
        if (attempt === attempts) throw failed(place, attempts, error);
      }
      const waitMs = backoffMs * 2 ** (attempt - 1);
      await delay(waitMs * (0.75 + Math.random() / 2), undefined, { signal }).catch(() => undefined);
    }
  }

  async #once<Result>(
    place: string,
    make: MakeRequest,
    use: (answer: Answer) => Promise<Result>,
    signal: AbortSignal,
  ): Promise<Result> {
    const answer = await this.#send(place, await make(), signal);
    try {
      if (PASSING.has(answer.statusCode)) {
        throw new PassingFailure(await describe(answer));
      }
      return await use(answer);
    } finally {
      answer.body.on('error', () => undefined).destroy(); // nothing when it has been read to its end
    }
  }

  /** Follows redirects; what was signed for one host says nothing to another, and is not sent there. */
  async #send(place: string, first: StoreRequest, signal: AbortSignal): Promise<Answer> {
    let request = { origin: first.origin, path: pathAndQuery(first), headers: first.headers };
    for (let redirects = 0; ; redirects += 1) {
      const answer = await this.#connections.request({
        ...{ ...request, method: 'GET', signal },
        headers: { 'accept-encoding': 'identity', ...request.headers },
      });
      const location = answer.headers['location'];
      if (!REDIRECTS.has(answer.statusCode) || typeof location !== 'string') return answer;
      await answer.body.dump();
      if (redirects === MAX_REDIRECTS) throw refused(place, `more than ${MAX_REDIRECTS} redirects`);
      const target = targetOf(location, request);
      if (target === null)
        throw refused(place, 'a redirect to what is no http address, or from https to http');
      const headers = target.origin === request.origin ? request.headers : unsigned(request.headers);
      request = { origin: target.origin, path: `${target.pathname}${target.search}`, headers };
    }
  }
}

/** The body as text, of a bounded size. */
export async function textOf(answer: Answer): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of answer.body) {
    chunks.push(chunk as Buffer);
    sizeBytes += (chunk as Buffer).length;
    if (sizeBytes > MAX_TEXT_BYTES) break;
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** A first line for people of an answer that is no success: status, and what the store says of it. */
async function describe(answer: Answer): Promise<string> {
  const text = await textOf(answer).catch(() => '');
  const failure = parseFailure(text);
  const words = failure === null ? '' : ` ${failure.code}: ${failure.message}`;
  return `${answer.statusCode}${words}`;
}

/** An answer that says no. @param hint what to do, '' for nothing that is known */
export async function refusalOf(place: string, answer: Answer, hint: string): Promise<SourceError> {
  return refused(place, await describe(answer), hint);
}

function refused(place: string, what: string, hint = ''): SourceError {
  return new SourceError(`${place}: the server answers ${what}${hint === '' ? '' : `; ${hint}`}`, {
    code: 'SOURCE_REFUSED',
  });
}

/** Says that a body ended early or is not what was asked for: another try may have it. */
export function passing(what: string): Error {
  return new PassingFailure(what);
}

function isPassing(error: unknown): boolean {
  if (error instanceof PassingFailure) return true;
  const code = codeOf(error) ?? '';
  if (code.startsWith('UND_ERR_')) return code !== 'UND_ERR_INVALID_ARG';
  return /^(?:ECONN|EPIPE|ETIMEDOUT|EAI_AGAIN|ENOTFOUND|EHOST|ENET)/.test(code);
}

function failed(place: string, attempts: number, cause: unknown): SourceError {
  const code = codeOf(cause) ?? '';
  const silent = /TIMEOUT|TIMEDOUT/.test(code) ? 'the server has stalled: ' : '';
  const words = messageOf(cause) || code;
  return new SourceError(
    `${place}: ${silent}${words}, ${attempts} times in a row`,
    { code: 'SOURCE_FAILED' },
    { cause },
  );
}

/** What may be said to any host: no signature, no token. */
function unsigned(headers: StoreRequest['headers']): StoreRequest['headers'] {
  const kept = Object.entries(headers).filter(([name]) => name === 'range' || name === 'if-match');
  return Object.fromEntries(kept);
}

/** @returns null for what is not followed */
function targetOf(
  location: string,
  from: { readonly origin: string; readonly path: string },
): Pick<URL, 'origin' | 'pathname' | 'search'> | null {
  const base = `${from.origin}${from.path}`;
  if (!URL.canParse(location, base)) return null;
  const target = new URL(location, base);
  const allowed = from.origin.startsWith('https:') ? ['https:'] : ['http:', 'https:'];
  return allowed.includes(target.protocol) ? target : null;
}
