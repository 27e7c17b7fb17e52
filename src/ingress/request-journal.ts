import type { IncomingMessage } from 'node:http';
import { FAILURES, OUTCOMES, type Outcome } from '../cluster/metrics/outcomes.ts';
import type { Log } from '../lib/log.ts';
import { type AccessEntry, AccessLog } from '../telemetry/access-log.ts';
import { readTraceparent } from '../telemetry/trace-context.ts';
import type { Traced } from '../telemetry/tracer.ts';
import { outcomeOfError } from './deployment-meter.ts';
import type { FrameworkError } from './framework-error.ts';

/** Failures that are told one by one; of more in a second the number. */
const MOST_FAILURES_PER_S = 20;

/** `refused` says that there are too many requests: a line for each would make it worse. */
const TOLD: ReadonlySet<Outcome> = new Set(FAILURES.filter((outcome) => outcome !== 'refused'));

/** Of a request that no replica saw. */
const NOTHING_DONE = {
  ...{ requestBytes: 0, responseBytes: 0, durationMs: 0, queueMs: 0, retries: 0 },
  ...{ replicaMs: null, replica: null, replicaNode: null },
};
const NO_HEAD = { traceId: null, method: '', path: '', deployment: null };

/** An answer of the ingress itself, as far as it is told. */
export interface OwnAnswer {
  readonly status: number;
  /** null: it is no error */
  readonly code: FrameworkError['code'] | null;
}

/** How a request ended that is answered before anything of it was looked at but its head. */
export function outcomeOfOwn({ status, code }: OwnAnswer): Outcome {
  return code === null ? 'ok' : (OUTCOMES[outcomeOfError(status)] ?? 'client_error');
}

/** A request, as far as its line says who asked for what. */
export interface Identified {
  readonly request: IncomingMessage;
  readonly id: string;
  readonly path: string;
  /** where it has one of this ingress */
  readonly traced?: Traced;
}

/**
 * What is written of requests that are over: each into the access log where there is one, and those that failed here into
 * the ingress' own log, so that their id leads from what the client was told to the replica that had them.
 */
export class RequestJournal {
  readonly #log: Log;
  readonly #accessFile: string;
  #access: AccessLog | null = null;
  #second = 0;
  #told = 0;
  #untold = 0;

  /** @param accessFile is made when `record` asks for it */
  constructor(log: Log, accessFile: string) {
    this.#log = log;
    this.#accessFile = accessFile;
  }

  /** Whether each request gets a line. */
  record(isOn: boolean): void {
    if (isOn === (this.#access !== null)) return;
    if (isOn) this.#access = new AccessLog(this.#accessFile);
    else void this.close();
  }

  /** Whether there is anything to be written of a request that ended so: what is not looked at need not be gathered. */
  wants(outcome: Outcome): boolean {
    return this.#access !== null || TOLD.has(outcome);
  }

  identify({
    request,
    id,
    path,
    traced,
  }: Identified): Pick<AccessEntry, 'requestId' | 'traceId' | 'client' | 'method' | 'path'> {
    return {
      ...{ requestId: id, path, method: request.method ?? '' },
      traceId: traced?.trace?.traceId ?? readTraceparent(request.headers['traceparent'])?.traceId ?? null,
      client: request.socket.remoteAddress ?? '',
    };
  }

  /** One that was answered before anything of it was looked at but its head. */
  answeredHere(identified: Identified, deployment: string | null, answer: OwnAnswer): void {
    const outcome = outcomeOfOwn(answer);
    if (!this.wants(outcome)) return;
    const { status, code } = answer;
    this.over({
      ...NOTHING_DONE,
      ...this.identify(identified),
      atMs: Date.now(),
      deployment,
      status,
      outcome,
      code,
    });
  }

  /** What came on a connection and is no HTTP: it has neither method nor path. @param client its address */
  malformed(answered: Pick<AccessEntry, 'requestId' | 'client'> & OwnAnswer): void {
    if (this.#access === null) return;
    const outcome = outcomeOfOwn(answered);
    this.over({ ...NOTHING_DONE, ...answered, ...NO_HEAD, atMs: Date.now(), outcome });
  }

  over(entry: AccessEntry): void {
    this.#access?.write(entry);
    if (TOLD.has(entry.outcome)) this.#tell(entry);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    const access = this.#access;
    this.#access = null;
    await access?.close();
  }

  #tell(entry: AccessEntry): void {
    const second = Math.floor(Date.now() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#told = 0;
    }
    this.#told += 1;
    if (this.#told > MOST_FAILURES_PER_S) {
      this.#untold += 1;
      return;
    }
    const { requestId, traceId, deployment, status, outcome, code, replica, retries } = entry;
    const fields = {
      ...{ requestId, ...(traceId === null ? {} : { traceId }), deployment, outcome, status },
      ...(code === null ? {} : { code }),
      ...(replica === null ? {} : { replica, replicaNode: entry.replicaNode }),
      ...{ durationMs: Math.round(entry.durationMs), ...(retries === 0 ? {} : { retries }) },
      ...(this.#untold === 0 ? {} : { failuresNotTold: this.#untold }),
    };
    this.#untold = 0;
    this.#log.warn(fields, 'a request failed');
  }
}
