import { setTimeout as delay } from 'node:timers/promises';
import { Agent, type Dispatcher } from 'undici';
import { codeOf, messageOf } from '../../lib/errors.ts';
import { ReceiveThreads } from '../receive/receive-threads.ts';
import {
  type AnswerHead,
  PART_LENGTH,
  type ReceiveOptions,
  type Receiver,
  type ReceiveTask,
} from '../receive/types.ts';
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

/** A request as it is sent: the path with its query. */
type PlainRequest = Pick<ReceiveTask, 'origin' | 'path' | 'headers'>;

/** What is still to come of a part. */
type MissingPart = Pick<ReceiveTask, 'expected' | 'lengthBytes' | 'target'>;

const MAX_CONNECTIONS = 32;
/** One fills a line of 10 Gbit/s. */
const MAX_RECEIVING_THREADS = 2;
const MAX_TEXT_BYTES = 16 * 1024 ** 2;
const MAX_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** What a later try may find better. */
const PASSING = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Something that is worth another try. */
class PassingFailure extends Error {}

/** Requests with retries: what a server cannot do at the moment is tried again, what it refuses is an error with its words. */
export class Exchange {
  readonly #options: ExchangeOptions;
  readonly #connections: Agent;
  readonly #receiver: Receiver;
  /** whose parts are left to the full HTTP client */
  readonly #oddOrigins = new Set<string>();

  constructor(options: ExchangeOptions = PATIENT) {
    this.#options = options;
    const { silenceMs } = options;
    this.#connections = new Agent({
      connections: MAX_CONNECTIONS,
      ...{ connectTimeout: silenceMs, headersTimeout: silenceMs, bodyTimeout: silenceMs },
    });
    this.#receiver = new ReceiveThreads({}, MAX_RECEIVING_THREADS);
  }

  /** Ends all connections, also those in use. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([this.#connections.destroy(), this.#receiver.close()]);
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
    return await this.#patiently(place, signal, () => this.#once(place, make, use, signal));
  }

  /**
   * Makes a request for a part, with redirects, and has its bytes put where they belong, past this thread.
   * @param part what is still missing of it, asked anew for each try
   * @returns false: the answer was no such part, or none that can be taken in this way; `get` tells more
   * @throws SourceError; what writing threw; the signal's reason
   */
  async receive(
    place: string,
    make: MakeRequest,
    part: () => MissingPart,
    options: ReceiveOptions,
  ): Promise<boolean> {
    const once = async (): Promise<boolean> => this.#receiveOnce(place, await make(), part(), options);
    return await this.#patiently(place, options.signal, once);
  }

  async #receiveOnce(
    place: string,
    first: StoreRequest,
    part: MissingPart,
    options: ReceiveOptions,
  ): Promise<boolean> {
    if (this.#oddOrigins.has(first.origin)) return false;
    const { silenceMs } = this.#options;
    let request: PlainRequest = { ...first, path: pathAndQuery(first) };
    for (let redirects = 0; ; redirects += 1) {
      const received = await this.#receiver.receive({ ...part, ...plain(request), silenceMs }, options);
      if (received.kind === 'whole') return true;
      if (received.kind === 'broken') throw broken(received);
      if (received.kind === 'odd') this.#oddOrigins.add(first.origin);
      const location = received.kind === 'odd' ? null : locationOrFailure(received);
      if (location === null) return false;
      request = redirected(place, request, { location, redirects });
    }
  }

  /** Tries until it goes well, is refused, or has gone wrong too often. */
  async #patiently<Result>(place: string, signal: AbortSignal, once: () => Promise<Result>): Promise<Result> {
    const { attempts, backoffMs } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted();
      try {
        return await once();
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

  /** Follows redirects. */
  async #send(place: string, first: StoreRequest, signal: AbortSignal): Promise<Answer> {
    let request: PlainRequest = { ...first, path: pathAndQuery(first) };
    for (let redirects = 0; ; redirects += 1) {
      const answer = await this.#connections.request({
        ...{ ...plain(request), method: first.method ?? 'GET', body: first.body ?? null, signal },
        headers: { 'accept-encoding': 'identity', ...request.headers },
      });
      // A body has been sent, and cannot be sent again from here.
      const location = first.body === undefined ? locationIn(answer) : null;
      if (location === null) return answer;
      await answer.body.dump();
      request = redirected(place, request, { location, redirects });
    }
  }
}

/** The body as text, of a bounded size. */
export async function textOf(answer: Answer): Promise<string> {
  return (await bytesOf(answer)).toString('utf8');
}

/** The body, of a bounded size. */
export async function bytesOf(answer: Answer): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of answer.body) {
    chunks.push(chunk as Buffer);
    sizeBytes += (chunk as Buffer).length;
    if (sizeBytes > MAX_TEXT_BYTES) break;
  }
  return Buffer.concat(chunks);
}

/** A first line for people of an answer that is no success: status, and what the store says of it. */
async function describe(answer: Answer): Promise<string> {
  return wordsOf(answer.statusCode, await textOf(answer).catch(() => ''));
}

function wordsOf(statusCode: number, text: string): string {
  const failure = parseFailure(text) ?? registryFailure(text);
  const words = failure === null ? '' : ` ${failure.code}: ${failure.message}`;
  return `${statusCode}${words}`;
}

/** The first of the errors in an answer of a registry. */
function registryFailure(text: string): { readonly code: string; readonly message: string } | null {
  try {
    const { errors } = JSON.parse(text) as { readonly errors?: readonly Record<string, unknown>[] };
    const [first] = Array.isArray(errors) ? errors : [];
    return first === undefined ? null : { code: `${first['code']}`, message: `${first['message'] ?? ''}` };
  } catch {
    return null;
  }
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

function broken({ code, message }: { readonly code: string; readonly message: string }): Error {
  return code === PART_LENGTH ? new PassingFailure(message) : Object.assign(new Error(message), { code });
}

function locationOrFailure({
  head,
  text,
}: {
  readonly head: AnswerHead;
  readonly text: string;
}): string | null {
  if (PASSING.has(head.statusCode)) throw new PassingFailure(wordsOf(head.statusCode, text));
  return locationIn(head);
}

function plain({ origin, path, headers }: PlainRequest): PlainRequest {
  return { origin, path, headers };
}

/** @returns null for an answer that leads nowhere else */
function locationIn({ statusCode, headers }: AnswerHead): string | null {
  const location = headers['location'];
  return REDIRECTS.has(statusCode) && typeof location === 'string' ? location : null;
}

/** The request that a redirect leads to; what was signed for one host says nothing to another, and is not sent there. */
function redirected(
  place: string,
  from: PlainRequest,
  { location, redirects }: { readonly location: string; readonly redirects: number },
): PlainRequest {
  if (redirects === MAX_REDIRECTS) throw refused(place, `more than ${MAX_REDIRECTS} redirects`);
  const target = targetOf(location, from);
  if (target === null) throw refused(place, 'a redirect to what is no http address, or from https to http');
  const headers = target.origin === from.origin ? from.headers : unsigned(from.headers);
  return { origin: target.origin, path: `${target.pathname}${target.search}`, headers };
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
