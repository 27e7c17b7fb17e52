import { setTimeout as delay } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import type { Variables } from '../../config/environment.ts';
import { codeOf, messageOf } from '../../lib/errors.ts';
import { ReceiveThreads } from '../receive/receive-threads.ts';
import {
  type AnswerHead,
  PART_LENGTH,
  type Received,
  type ReceiveOptions,
  type Receiver,
  type ReceiveTask,
} from '../receive/types.ts';
import { type ConnectionPool, Connections, silenceText, type Trust } from './connections.ts';
import { parseFailure } from './list-xml.ts';
import { noConversation } from './no-conversation.ts';
import { isPassing, passing } from './passing.ts';
import type { ProxyServer } from './proxies.ts';
import { pathAndQuery, type StoreRequest } from './requests.ts';
import { SourceError } from './types.ts';

export interface ExchangeOptions {
  /** how often a request is tried in all */
  readonly attempts: number;
  /** the first wait between two tries; each is twice the one before */
  readonly backoffMs: number;
  /** a server that sends nothing for this long counts as stalled */
  readonly silenceMs: number;
  /** whose variables are looked at, for messages; `the environment` where nothing is said */
  readonly environment?: string;
}

export const PATIENT: ExchangeOptions = { attempts: 6, backoffMs: 250, silenceMs: 30_000 };
/** Whoever applies may have another environment than the head, which alone fetches. */
export const PATIENT_HEAD: ExchangeOptions = { ...PATIENT, environment: 'the environment of the head' };

/** An answer whose body has to be read or dropped. */
export type Answer = Dispatcher.ResponseData;

/** How a request is made for one try: signatures hold for minutes, and tokens run out. */
export type MakeRequest = () => StoreRequest | Promise<StoreRequest>;

/** A request as it is sent: the path with its query. */
type PlainRequest = Pick<ReceiveTask, 'origin' | 'path' | 'headers'>;

/** Who is asked at the moment, redirects followed. */
interface Contact {
  origin: string;
}

/** What is still to come of a part. */
type MissingPart = Pick<ReceiveTask, 'expected' | 'lengthBytes' | 'target'>;

/** One fills a line of 10 Gbit/s. */
const MAX_RECEIVING_THREADS = 2;
const MAX_TEXT_BYTES = 16 * 1024 ** 2;
const MAX_REDIRECTS = 5;
/** Characters of an answer that are worth showing. */
const MAX_WORDS = 300;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** Nobody is there, or nobody of that name. */
const ABSENT = new Set(['ECONNREFUSED', 'ENOTFOUND']);
/** So often is tried who has not answered for a while; the others may be restarting. */
const ABSENT_ATTEMPTS = 2;
const KNOWN_FOR_MS = 600_000;
/** What a later try may find better. */
const PASSING = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Requests with retries: what a server cannot do at the moment is tried again, what it refuses is an error with its words. */
export class Exchange {
  readonly #options: ExchangeOptions;
  readonly connections: ConnectionPool;
  #receiver: Receiver | null = null;
  /** whose parts are left to the full HTTP client */
  readonly #oddOrigins = new Set<string>();
  /** when each has answered last, by `performance.now()` */
  readonly #heardAtMs = new Map<string, number>();

  /** @param variables where proxies and certificates are looked for */
  constructor(
    variables: Variables,
    options: ExchangeOptions = PATIENT,
    connections: ConnectionPool = new Connections(variables, options.silenceMs, options.environment),
  ) {
    this.#options = options;
    this.connections = connections;
  }

  /** Ends all connections, also those in use. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([this.connections.close(), this.#receiver?.close()]);
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
    return await this.#patiently(place, signal, (contact) =>
      this.#once(contact, make, use, { place, signal }),
    );
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
    return await this.#patiently(place, options.signal, async (contact) =>
      this.#receiveOnce({ place, contact, first: await make() }, part(), options),
    );
  }

  async #receiveOnce(
    { place, contact, first }: { place: string; contact: Contact; first: StoreRequest },
    part: MissingPart,
    options: ReceiveOptions,
  ): Promise<boolean> {
    const { silenceMs } = this.#options;
    let request: PlainRequest = { ...first, path: pathAndQuery(first) };
    for (let redirects = 0; ; redirects += 1) {
      const receiver = this.#receiverFor(request.origin, first.trust);
      if (receiver === null) return false;
      contact.origin = request.origin;
      const received = await receiver.receive({ ...part, ...plain(request), silenceMs }, options);
      if (received.kind !== 'broken' || received.hasAnswered) this.#hear(request.origin);
      if (received.kind === 'whole') return true;
      if (received.kind === 'odd') this.#oddOrigins.add(request.origin);
      const location = locationOrFailure(received);
      if (location === null) return false;
      request = redirected(place, request, { location, redirects });
    }
  }

  /** @returns null for what is left to the full HTTP client: odd servers, proxies, certificates of one server alone */
  #receiverFor(origin: string, trust: Trust | undefined): Receiver | null {
    if (this.#oddOrigins.has(origin) || !this.connections.isPlain(origin, trust)) return null;
    this.#receiver ??= new ReceiveThreads(this.connections.tls, MAX_RECEIVING_THREADS);
    return this.#receiver;
  }

  /** Tries until it goes well, is refused, or has gone wrong too often. */
  async #patiently<Result>(
    place: string,
    signal: AbortSignal,
    once: (contact: Contact) => Promise<Result>,
  ): Promise<Result> {
    const { backoffMs } = this.#options;
    const contact: Contact = { origin: '' };
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted();
      try {
        return await once(contact);
      } catch (error) {
        signal.throwIfAborted();
        const why = noConversation(error, this.connections.trusted);
        if (why !== null)
          throw new SourceError(`${place}: ${why}`, { code: 'SOURCE_FAILED' }, { cause: error });
        if (!isPassing(error)) throw error;
        if (attempt >= this.#attemptsAt(contact, error)) throw failed(place, attempt, error);
      }
      const waitMs = backoffMs * 2 ** (attempt - 1);
      await delay(waitMs * (0.75 + Math.random() / 2), undefined, { signal }).catch(() => undefined);
    }
  }

  /** Who has not been there at all is rather called by a wrong name than about to come. */
  #attemptsAt({ origin }: Contact, error: unknown): number {
    const { attempts } = this.#options;
    const heardAtMs = this.#heardAtMs.get(origin) ?? Number.NEGATIVE_INFINITY;
    const wasThere = performance.now() - heardAtMs < KNOWN_FOR_MS;
    return wasThere || !ABSENT.has(codeOf(error) ?? '') ? attempts : Math.min(attempts, ABSENT_ATTEMPTS);
  }

  #hear(origin: string): void {
    this.#heardAtMs.set(origin, performance.now());
  }

  async #once<Result>(
    contact: Contact,
    make: MakeRequest,
    use: (answer: Answer) => Promise<Result>,
    { place, signal }: { readonly place: string; readonly signal: AbortSignal },
  ): Promise<Result> {
    const answer = await this.#send(place, contact, await make(), signal);
    try {
      if (PASSING.has(answer.statusCode)) {
        throw passing(await describe(answer));
      }
      return await use(answer);
    } finally {
      answer.body.on('error', () => undefined).destroy(); // nothing when it has been read to its end
    }
  }

  /** Follows redirects. */
  async #send(place: string, contact: Contact, first: StoreRequest, signal: AbortSignal): Promise<Answer> {
    const { silenceMs } = this.#options;
    const times = { headersTimeout: silenceMs, bodyTimeout: silenceMs };
    let request: PlainRequest = { ...first, path: pathAndQuery(first) };
    for (let redirects = 0; ; redirects += 1) {
      const { origin } = request;
      const headers = { 'accept-encoding': 'identity', ...request.headers };
      const { method = 'GET', body = null } = first;
      const agent = this.connections.to(origin, first.trust);
      contact.origin = origin;
      const asked = { ...plain(request), ...times, headers, method, body, signal } as const;
      const answer = await agent.request(asked).catch((error: unknown) => {
        throw byProxy(place, error, this.connections.proxyTo(origin));
      });
      this.#hear(origin);
      // A body has been sent, and cannot be sent again from here.
      const location = body === null ? locationIn(answer) : null;
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
  return wordsOf(answer, await textOf(answer).catch(() => ''));
}

function wordsOf({ statusCode, headers }: AnswerHead, text: string): string {
  const failure = parseFailure(text) ?? registryFailure(text);
  const isPlain = /^text\/plain|^application\/json/.test(String(headers['content-type'] ?? ''));
  const words = failure === null ? (isPlain ? text : '') : `${failure.code}: ${failure.message}`;
  const line = words.replace(/\s+/g, ' ').trim().slice(0, MAX_WORDS);
  return `${statusCode}${line === '' ? '' : ` ${line}`}`;
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

/** Names the proxy in what failed, since it may be that which is down. */
function byProxy(place: string, error: unknown, proxy: ProxyServer | null): unknown {
  if (proxy === null) return error;
  const [, refusal] = /^Proxy (?:response|Authentication Required) \((40\d)\)/.exec(messageOf(error)) ?? [];
  if (refusal !== undefined) {
    return new SourceError(
      `${place}: the proxy ${proxy.shown} that ${proxy.variable} names answers ${refusal}; it may want a user and a password: http://USER:PASSWORD@…`,
      { code: 'SOURCE_REFUSED' },
    );
  }
  const words = `${silenceText(error)} (by the proxy ${proxy.shown} that ${proxy.variable} names)`;
  return Object.assign(new Error(words, { cause: error }), { code: codeOf(error) });
}

function failed(place: string, attempts: number, cause: unknown): SourceError {
  return new SourceError(
    `${place}: ${silenceText(cause)}, ${attempts} times in a row`,
    { code: 'SOURCE_FAILED' },
    { cause },
  );
}

/** @returns where else the part is; null where it cannot be had in this way */
function locationOrFailure(received: Exclude<Received, { readonly kind: 'whole' }>): string | null {
  if (received.kind === 'odd') return null;
  if (received.kind === 'broken') {
    const { code, message } = received;
    throw code === PART_LENGTH ? passing(message) : Object.assign(new Error(message), { code });
  }
  const { head, text } = received;
  if (PASSING.has(head.statusCode)) throw passing(wordsOf(head, text));
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
