import { request } from 'undici';
import type { ApplyAnswer, Mistaken, PlanAnswer } from '../admin/types.ts';
import type { Progress, StatusDocument } from '../cluster/status/types.ts';
import { codeOf, messageOf, ServeError } from '../lib/errors.ts';

export interface AdminTarget {
  /** `HOST:PORT` of a head's admin API */
  readonly address: string;
  readonly apiKey: string;
}

/** How long a call may take that does no work of its own. */
const CALL_TIMEOUT_MS = 15_000;
/** Applying hashes packages and models first. */
const APPLY_TIMEOUT_MS = 600_000;

/** The admin API, as the commands use it. Failures are ServeErrors with the API's own code and words. */
export class AdminClient {
  readonly #target: AdminTarget;

  constructor(target: AdminTarget) {
    this.#target = target;
  }

  async status(): Promise<StatusDocument> {
    return await this.#json('GET', '/api/v1/status');
  }

  async plan(conf: string): Promise<PlanAnswer | Mistaken> {
    return await this.#json('POST', '/api/v1/plan', { conf }, APPLY_TIMEOUT_MS);
  }

  async apply(conf: string): Promise<ApplyAnswer | Mistaken> {
    return await this.#json('POST', '/api/v1/apply', { conf }, APPLY_TIMEOUT_MS);
  }

  async progress(revision: number, deployments: readonly string[]): Promise<Progress> {
    const names = encodeURIComponent(deployments.join(','));
    return await this.#json('GET', `/api/v1/progress?revision=${revision}&deployments=${names}`);
  }

  async stopCluster(): Promise<{ readonly left: readonly string[] }> {
    return await this.#json('POST', '/api/v1/stop', undefined, APPLY_TIMEOUT_MS);
  }

  /** Log output as it comes; ends when the other side does, or on the signal. */
  async *logs(path: string, signal: AbortSignal): AsyncGenerator<string> {
    const { statusCode, body } = await this.#send('GET', path, undefined, { signal });
    if (statusCode !== 200) throw failureOf(statusCode, await body.text());
    body.setEncoding('utf8');
    for await (const chunk of body) yield String(chunk);
  }

  async #json<Answer>(
    method: string,
    path: string,
    payload?: unknown,
    timeoutMs = CALL_TIMEOUT_MS,
  ): Promise<Answer> {
    const { statusCode, body } = await this.#send(method, path, payload, {
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = await body.text();
    if (statusCode !== 200) throw failureOf(statusCode, text);
    return JSON.parse(text) as Answer;
  }

  async #send(
    method: string,
    path: string,
    payload: unknown,
    options: { readonly signal: AbortSignal },
  ): ReturnType<typeof request> {
    const { address, apiKey } = this.#target;
    try {
      return await request(`http://${address}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${apiKey}`,
          ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(payload === undefined ? {} : { body: JSON.stringify(payload) }),
        signal: options.signal,
        headersTimeout: APPLY_TIMEOUT_MS,
        bodyTimeout: 0,
      });
    } catch (cause) {
      throw new ServeError(
        `no cluster answers at ${address} (${codeOf(cause) ?? messageOf(cause)}). Start a head with \`modelserve head\`, or name one with --address HOST:8265.`,
        { code: 'CLUSTER_UNREACHABLE' },
        { cause },
      );
    }
  }
}

function failureOf(statusCode: number, text: string): ServeError {
  try {
    const { code, info } = JSON.parse(text) as { code: string; info: string };
    return new ServeError(info, { code });
  } catch {
    return new ServeError(`the admin API answered ${statusCode}: ${text.slice(0, 200)}`, {
      code: 'ADMIN_ANSWER',
    });
  }
}
