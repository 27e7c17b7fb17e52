import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { DeploymentRoute } from '../cluster/routing/types.ts';
import type { Traced, Tracer } from '../telemetry/tracer.ts';
import { sendFrameworkError } from './answer.ts';
import type { ApiKeys } from './api-keys.ts';
import type { ByteBudget } from './byte-budget.ts';
import type { Casualties } from './casualties.ts';
import type { DeploymentQueue } from './deployment-queue.ts';
import type { Dispatcher } from './dispatcher.ts';
import { type Call, Exchange } from './exchange.ts';
import {
  badTimeout,
  bodyTooLarge,
  type FrameworkError,
  methodNotAllowed,
  routeNotFound,
} from './framework-error.ts';
import { sentRequestId } from './headers.ts';
import { declaredBytes, discardBody } from './request-body.ts';
import { type Identified, type OwnAnswer, outcomeOfOwn, type RequestJournal } from './request-journal.ts';
import { endSpan } from './request-span.ts';

export interface HandlerDependencies {
  readonly dispatcher: Dispatcher;
  readonly budget: ByteBudget;
  readonly casualties: Casualties;
  readonly journal: RequestJournal;
  /** null: spans go nowhere */
  readonly tracer: Tracer | null;
  readonly apiKeys: ApiKeys;
  /** of request bodies, as the newest routing table says */
  readonly maxBodyBytes: () => number;
  /** whether clients are told to open another connection for their next request */
  readonly isDraining: () => boolean;
  /** the ingress listens on loopback only */
  readonly isLoopback: boolean;
}

const UNTRACED: Traced = { trace: null, traceparent: null };
const OPTIONS_ANSWER = { status: 204, code: null };

/** Takes every request that is for a deployment. Nothing it does depends on how many deployments there are. */
export class RequestHandler {
  readonly #dependencies: HandlerDependencies;
  readonly #idPrefix = randomBytes(6).toString('base64url');
  #openCount = 0;
  #unroutedCount = 0;
  #lastId = 0;
  #onIdle: (() => void)[] = [];

  constructor(dependencies: HandlerDependencies) {
    this.#dependencies = dependencies;
  }

  /** Requests that are not over. */
  get openCount(): number {
    return this.#openCount;
  }

  /** Requests so far whose path is no deployment's. */
  get unroutedCount(): number {
    return this.#unroutedCount;
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    const id = sentRequestId(request) ?? this.newId();
    const { path, query } = splitTarget(request.url ?? '/');
    const { dispatcher, isDraining, journal, tracer } = this.#dependencies;
    const isLast = isDraining();
    const startMs = performance.now();
    const answered = (answer: OwnAnswer) => {
      discardBody(request);
      const traced = tracer?.begin(request.headers['traceparent']) ?? UNTRACED;
      tell({ request, id, path, traced }, { route: queue?.route ?? null, startMs, answer }, journal);
    };
    const reject = (error: FrameworkError) => {
      sendFrameworkError(response, error, { requestId: id, isLast });
      answered(error);
    };
    const queue = dispatcher.find(path);
    if (queue === null) {
      this.#unroutedCount += 1;
      reject(routeNotFound(path, dispatcher.routes));
      return;
    }
    const method = request.method ?? 'GET';
    if (!mayCall(queue.route, method)) {
      if (method === 'OPTIONS') {
        sendOptions(response, id, queue.route);
        answered(OPTIONS_ANSWER);
      } else {
        const error = methodNotAllowed(method, queue.route, allowed(queue.route));
        queue.countFrameworkError(error);
        reject(error);
      }
      return;
    }
    const timeoutMs = this.#admit(request, queue);
    if (typeof timeoutMs !== 'number') {
      queue.countFrameworkError(timeoutMs);
      reject(timeoutMs);
      return;
    }
    const exposesErrors = this.#exposesErrors(queue.route);
    const traced = tracer?.begin(request.headers['traceparent']) ?? UNTRACED;
    this.#begin({ request, response, id, path, query, queue, timeoutMs, exposesErrors, isLast, traced });
  }

  /** @returns true once no request is under way; false when some still are after `timeoutMs` */
  async untilIdle(timeoutMs: number): Promise<boolean> {
    if (this.#openCount === 0) return true;
    let deadline: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      deadline = setTimeout(resolve, timeoutMs);
      this.#onIdle.push(resolve);
    });
    clearTimeout(deadline);
    return this.#openCount === 0;
  }

  /** An id that no other request of this process has, nor any of another process. */
  newId(): string {
    this.#lastId += 1;
    return `${this.#idPrefix}-${this.#lastId.toString(36)}`;
  }

  #begin(call: Call): void {
    const { budget, casualties, journal, maxBodyBytes } = this.#dependencies;
    const exchange = new Exchange(call, {
      bodyRules: { maxBytes: maxBodyBytes(), budget },
      casualties,
      journal,
      onOver: () => this.#end(),
    });
    this.#openCount += 1;
    exchange.begin();
  }

  #end(): void {
    this.#openCount -= 1;
    if (this.#openCount > 0) return;
    const waiting = this.#onIdle;
    this.#onIdle = [];
    for (const resolve of waiting) resolve();
  }

  /** What can be known before the body is read: the request's deadline in ms, or why it is not taken. */
  #admit(request: IncomingMessage, queue: DeploymentQueue): number | FrameworkError {
    const { apiKeys, maxBodyBytes } = this.#dependencies;
    const stranger = queue.route.apiKeys === null ? null : apiKeys.refusal(request, queue.route, Date.now());
    if (stranger !== null) return stranger;
    const maxBytes = maxBodyBytes();
    if ((declaredBytes(request) ?? 0) > maxBytes) return bodyTooLarge(maxBytes);
    const timeoutMs = readTimeoutMs(request, queue.route.requestTimeoutMs);
    if (timeoutMs === null) return badTimeout(String(request.headers['x-request-timeout-seconds']));
    return queue.refusal() ?? timeoutMs;
  }

  #exposesErrors(route: DeploymentRoute): boolean {
    return (
      route.exposeErrors === 'always' || (route.exposeErrors === 'loopback' && this.#dependencies.isLoopback)
    );
  }
}

/** What is told of a request that was answered before anything of it was looked at but its head. */
function tell(
  identified: Identified & { readonly traced: Traced },
  answered: {
    readonly route: DeploymentRoute | null;
    readonly startMs: number;
    readonly answer: OwnAnswer;
  },
  journal: RequestJournal,
): void {
  const { route, startMs, answer } = answered;
  const { status, code } = answer;
  journal.answeredHere(identified, route?.deployment ?? null, answer);
  const { trace } = identified.traced;
  const outcome = outcomeOfOwn(answer);
  if (trace !== null) endSpan(trace, { ...identified, route, startMs, status, outcome, code, retries: 0 });
}

/** Path and query as sent; of the absolute form (`GET http://host/path`), which proxies use, the path. */
function splitTarget(target: string): { readonly path: string; readonly query: string } {
  const origin = /^[a-z]+:\/\/[^/?]*/i.exec(target);
  const local = origin === null ? target : target.slice(origin[0].length) || '/';
  const mark = local.indexOf('?');
  return mark < 0 ? { path: local, query: '' } : { path: local.slice(0, mark), query: local.slice(mark + 1) };
}

/** HEAD is GET without the answer's body. */
function mayCall(route: DeploymentRoute, method: string): boolean {
  return (
    route.methods.includes(method) ||
    method === 'POST' ||
    (method === 'HEAD' && route.methods.includes('GET'))
  );
}

function allowed(route: DeploymentRoute): string {
  const methods = new Set([...route.methods, 'POST', 'OPTIONS']);
  if (methods.has('GET')) methods.add('HEAD');
  return [...methods].join(', ');
}

function sendOptions(response: ServerResponse, id: string, route: DeploymentRoute): void {
  response.writeHead(OPTIONS_ANSWER.status, { allow: allowed(route), 'x-request-id': id });
  response.end();
}

/** What `x-request-timeout-seconds` leaves of the deployment's own deadline; null where it is no number above 0. */
function readTimeoutMs(request: IncomingMessage, routeTimeoutMs: number): number | null {
  const sent = request.headers['x-request-timeout-seconds'];
  if (sent === undefined) return routeTimeoutMs;
  const seconds = typeof sent === 'string' && /^\d+(\.\d+)?$/.test(sent.trim()) ? Number(sent) : 0;
  return seconds > 0 ? Math.max(1, Math.min(routeTimeoutMs, Math.round(seconds * 1000))) : null;
}
