import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import type {
  ApplyAnswer,
  ApplySource,
  FileLook,
  Mistaken,
  PlanAnswer,
  RevisionDiff,
  TokenState,
  UploadOffer,
} from '../admin/types.ts';
import type { ModelFetch, Progress, RevisionSummary, StatusDocument } from '../cluster/status/types.ts';
import type { Manifest } from '../lib/content/manifest.ts';
import { codeOf, messageOf, ServeError } from '../lib/errors.ts';
import { isLoopback } from '../lib/loopback.ts';
import { isOutOfTime, isTlsError, OUT_OF_TIME } from '../lib/tls/errors.ts';
import { parseHostPort } from '../roles/addresses.ts';
import { type HttpRequest, sendRequest } from './http-request.ts';

export interface AdminTarget {
  /** `HOST:PORT` of a head's admin API; with `https://` before it where that speaks TLS */
  readonly address: string;
  /** PEM of the authorities that may have signed its certificate */
  readonly authorities?: readonly string[];
  readonly apiKey: string;
}

/** How long a call may take that does no work of its own. */
const CALL_TIMEOUT_MS = 15_000;
/** Applying hashes packages and models first. */
const APPLY_TIMEOUT_MS = 600_000;
const FETCHES_EVERY_MS = 1_000;

/** The admin API, as the commands use it. Failures are ServeErrors with the API's own code and words. */
export class AdminClient {
  readonly #target: AdminTarget;
  /** settled when the key may be sent; null while nothing is known of that */
  #isSafe: Promise<void> | null = null;

  constructor(target: AdminTarget) {
    this.#target = target;
  }

  /** whose certificates are believed, as PEM; none where the admin API itself is plain */
  get authorities(): readonly string[] {
    return this.#target.authorities ?? [];
  }

  async status(): Promise<StatusDocument> {
    return await this.#json('GET', '/api/v1/status');
  }

  async plan({ confPath, upload }: ApplySource): Promise<PlanAnswer | Mistaken> {
    return await this.#json('POST', '/api/v1/plan', { conf: confPath, upload }, APPLY_TIMEOUT_MS);
  }

  /** @param onFetches hears every second which models are being fetched for it; as long as they move, it is waited for */
  async apply(
    { confPath, upload }: ApplySource,
    onFetches: (fetches: readonly ModelFetch[]) => void,
  ): Promise<ApplyAnswer | Mistaken> {
    const over = new AbortController();
    const patience = this.#watchFetches(onFetches, over.signal);
    try {
      return await this.#answer('POST', '/api/v1/apply', { conf: confPath, upload }, patience);
    } finally {
      over.abort();
    }
  }

  /** @returns a signal that comes when nothing has moved for as long as an apply may take */
  #watchFetches(onFetches: (fetches: readonly ModelFetch[]) => void, over: AbortSignal): AbortSignal {
    const lost = new AbortController();
    const watch = async (): Promise<void> => {
      let movedAtMs = performance.now();
      let last = '';
      while (performance.now() - movedAtMs < APPLY_TIMEOUT_MS) {
        await delay(FETCHES_EVERY_MS, undefined, { signal: over });
        const { fetches } = await this.#json<{ readonly fetches: readonly ModelFetch[] }>(
          'GET',
          '/api/v1/fetches',
        ).catch(() => ({ fetches: [] }));
        onFetches(fetches);
        const picture = JSON.stringify(fetches.map((fetch) => [fetch.model, fetch.fetchedBytes]));
        if (picture !== last) movedAtMs = performance.now();
        last = picture;
      }
      lost.abort(new ServeError('the apply has not moved for ten minutes', { code: 'APPLY_TIMEOUT' }));
    };
    watch().catch(() => undefined); // the apply is over
    return lost.signal;
  }

  /** Whether the head sees this very file. */
  async sees(file: FileLook): Promise<boolean> {
    const { sees } = await this.#json<{ readonly sees: boolean }>('POST', '/api/v1/sees', file);
    return sees;
  }

  async offer(files: Manifest): Promise<UploadOffer> {
    return await this.#json('POST', '/api/v1/uploads', { files }, APPLY_TIMEOUT_MS);
  }

  /** Sends a file of an upload from an offset on. */
  async send(upload: string, part: { sha256: string; offset: number }, bytes: Readable): Promise<void> {
    const path = `/api/v1/uploads/${upload}/${part.sha256}?offset=${part.offset}`;
    const answer = await this.#send('PUT', path, bytes, { signal: new AbortController().signal });
    const { statusCode = 0 } = answer;
    const content = await this.#textOf(answer);
    if (statusCode !== 200) throw this.#failureOf(statusCode, content);
  }

  async progress(revision: number, deployments: readonly string[]): Promise<Progress> {
    const names = encodeURIComponent(deployments.join(','));
    return await this.#json('GET', `/api/v1/progress?revision=${revision}&deployments=${names}`);
  }

  async revisions(): Promise<{ readonly revisions: readonly RevisionSummary[] }> {
    return await this.#json('GET', '/api/v1/revisions');
  }

  async diff(from: number, to: number): Promise<RevisionDiff> {
    return await this.#json('GET', `/api/v1/diff?from=${from}&to=${to}`);
  }

  async rollback(number: number): Promise<ApplyAnswer | Mistaken> {
    return await this.#json('POST', `/api/v1/revisions/${number}/rollback`, {}, APPLY_TIMEOUT_MS);
  }

  async planRollback(number: number): Promise<PlanAnswer | Mistaken> {
    const payload = { dryRun: true };
    return await this.#json('POST', `/api/v1/revisions/${number}/rollback`, payload, APPLY_TIMEOUT_MS);
  }

  async token(): Promise<TokenState> {
    return await this.#json('GET', '/api/v1/token');
  }

  /** @param timeoutS see TokenDesk.rotate */
  async rotateToken(timeoutS: number): Promise<TokenState> {
    return await this.#json('POST', '/api/v1/token/rotate', { timeout_s: timeoutS });
  }

  async cancelRotation(): Promise<TokenState> {
    return await this.#json('POST', '/api/v1/token/cancel', {});
  }

  async stopCluster(): Promise<{ readonly left: readonly string[] }> {
    return await this.#json('POST', '/api/v1/stop', undefined, APPLY_TIMEOUT_MS);
  }

  /** Log output as it comes; ends when the other side does, or on the signal. */
  async *logs(path: string, signal: AbortSignal): AsyncGenerator<string> {
    const body = await this.#send('GET', path, undefined, { signal });
    const { statusCode = 0 } = body;
    if (statusCode !== 200) throw this.#failureOf(statusCode, await this.#textOf(body));
    body.setEncoding('utf8');
    try {
      for await (const chunk of body) yield String(chunk);
    } catch (cause) {
      throw this.#broken(cause);
    }
  }

  async #json<Answer>(
    method: string,
    path: string,
    payload?: unknown,
    timeoutMs = CALL_TIMEOUT_MS,
  ): Promise<Answer> {
    return await this.#answer(method, path, payload, AbortSignal.timeout(timeoutMs));
  }

  async #answer<Answer>(
    method: string,
    path: string,
    payload: unknown,
    signal: AbortSignal,
  ): Promise<Answer> {
    const answer = await this.#send(method, path, payload, { signal });
    const { statusCode = 0 } = answer;
    const content = await this.#textOf(answer);
    if (statusCode !== 200) throw this.#failureOf(statusCode, content);
    try {
      return JSON.parse(content) as Answer;
    } catch {
      throw this.#failureOf(statusCode, content);
    }
  }

  async #textOf(body: IncomingMessage): Promise<string> {
    try {
      return await text(body);
    } catch (cause) {
      throw this.#broken(cause);
    }
  }

  #broken(cause: unknown): ServeError {
    return new ServeError(
      `the connection to the cluster at ${this.#target.address} broke (${codeOf(cause) ?? messageOf(cause)}). Does its head still run?`,
      { code: 'CLUSTER_UNREACHABLE' },
      { cause },
    );
  }

  async #send(
    method: string,
    path: string,
    payload: unknown,
    options: { readonly signal: AbortSignal },
  ): Promise<IncomingMessage> {
    this.#isSafe ??= this.#askWithoutKey().catch((error: unknown) => {
      this.#isSafe = null; // a head that was away may be back at the next call
      throw error;
    });
    await this.#isSafe;
    const headers = {
      authorization: `Bearer ${this.#target.apiKey}`,
      ...(payload === undefined ? {} : { 'content-type': typeOf(payload) }),
    };
    return await this.#request(path, { method, headers, body: bodyOf(payload), signal: options.signal });
  }

  /**
   * Asks a plain address elsewhere once without the key, so that none goes in clear to a head that speaks TLS.
   * @throws ServeError BAD_USAGE where it does
   */
  async #askWithoutKey(): Promise<void> {
    const { address } = this.#target;
    if (address.startsWith('https:') || isLoopback(parseHostPort(address, 'the address').host)) return;
    const signal = AbortSignal.timeout(CALL_TIMEOUT_MS);
    const answer = await this.#request('/api/v1/session', { method: 'GET', headers: {}, body: null, signal });
    const content = await this.#textOf(answer);
    if (failureIn(content)?.code === 'TLS_REQUIRED') throw this.#failureOf(400, content);
  }

  async #request(path: string, call: Omit<HttpRequest, 'authorities'>): Promise<IncomingMessage> {
    const { address, authorities = [] } = this.#target;
    try {
      const url = `${address.startsWith('https:') ? '' : 'http://'}${address}${path}`;
      return await sendRequest(url, { ...call, authorities });
    } catch (cause) {
      if (isTlsError(cause)) throw this.#untrusted(cause);
      throw new ServeError(
        `no cluster answers at ${address} (${codeOf(cause) ?? messageOf(cause)}). Start a head with \`modelserve head\`, or name one with --address HOST:8265.`,
        { code: 'CLUSTER_UNREACHABLE' },
        { cause },
      );
    }
  }

  #untrusted(cause: unknown): ServeError {
    const { address } = this.#target;
    return new ServeError(
      `the connection to ${address} is not trusted (${messageOf(cause)}). ${adviceFor(cause)}`,
      { code: 'CLUSTER_UNREACHABLE' },
      { cause },
    );
  }

  #failureOf(statusCode: number, text: string): ServeError {
    const failure = failureIn(text);
    if (failure?.code === 'TLS_REQUIRED') {
      const { address } = this.#target;
      return new ServeError(`${address} speaks TLS: give --address https://${address}`, {
        code: 'BAD_USAGE',
      });
    }
    if (failure !== null) return new ServeError(failure.info, { code: failure.code });
    return new ServeError(
      `what answers at ${this.#target.address} is no admin API of this version: ${statusCode} ${text.slice(0, 200)}`,
      { code: 'ADMIN_ANSWER' },
    );
  }
}

/** What to do about a certificate that is not believed. */
function adviceFor(cause: unknown): string {
  if (isOutOfTime(cause)) return `Its certificate is not good now: ${OUT_OF_TIME}`;
  if (codeOf(cause) === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return 'Its certificate is for other names: give one of them, as in --address https://NAME:8265.';
  return "Its head must have been started with --tls; give the cluster's token, or its certificate authority (tls/ca.pem in the head's state directory) with --ca FILE.";
}

function bodyOf(payload: unknown): string | Readable | null {
  if (payload === undefined) return null;
  return payload instanceof Readable ? payload : JSON.stringify(payload);
}

function typeOf(payload: unknown): string {
  return payload instanceof Readable ? 'application/octet-stream' : 'application/json';
}

/** The API's own words, or null where they are somebody else's. */
function failureIn(text: string): { readonly code: string; readonly info: string } | null {
  try {
    const { code, info } = JSON.parse(text) as { code?: unknown; info?: unknown };
    if (code === 'ROUTE_NOT_FOUND') return null; // a node's HTTP port, which has no such API
    return typeof code === 'string' && typeof info === 'string' ? { code, info } : null;
  } catch {
    return null;
  }
}
