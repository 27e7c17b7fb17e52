import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { LOG_COMPONENTS } from '../../config/paths.ts';
import { ServeError } from '../../lib/errors.ts';
import { moment } from '../moment.ts';
import { type Route, route } from '../route.ts';
import type { LiveMessage, LiveSource, LogQuery, LogSource } from '../types.ts';

const node = z.string().optional().describe('only what was written on this node');
const extent = {
  lines: z.coerce.number().int().min(0).max(100_000).default(100),
  follow: z.enum(['0', '1']).default('0').describe('1: goes on as more is written'),
};
const outputQuery = z.object({
  ...{ node, ...extent },
  replica: z.string().optional().describe('only this replica’s'),
});
const frameworkQuery = z
  .object({
    ...{ node, ...extent },
    component: z.enum(LOG_COMPONENTS).optional().describe('of this part of modelserve'),
    since: moment
      .optional()
      .describe('ISO 8601 or ms since 1970; with request, lines of replicas bear no time and are all there'),
    request: z.string().min(1).max(128).optional().describe('whatever holds the id of this request'),
    deployment: z.string().optional().describe('with request: of replicas, only this one’s'),
  })
  .refine(({ component, request }) => (component === undefined) !== (request === undefined), {
    message: 'expected either component or request',
  });
const byDeployment = z.object({ deployment: z.string() });
const liveQuery = z.object({
  after: z.string().optional().describe('as the header last-event-id, for clients that cannot send it'),
});

const tag = 'streams';
/** Of all clients together; each holds memory and looks at files and nodes for as long as it stays. */
const MAX_STREAMS = 256;

/** What goes on for as long as the client stays. */
export function streamRoutes(logs: LogSource, live: LiveSource): readonly Route[] {
  const seats = new Seats(MAX_STREAMS);
  return [
    route({
      ...{ method: 'GET', path: '/api/v1/logs/{deployment}', tag, params: byDeployment, query: outputQuery },
      answer: {
        type: 'text/plain',
        description: 'lines; prefixed with the replica’s id where there are several',
      },
      summary: 'output of a deployment’s replicas, wherever they run',
      handle: async ({ params: { deployment }, query, signal, reply }) => {
        seats.take(signal);
        const { node = null, replica = null, lines, follow } = query;
        const asked = { of: 'replicas', node, deployment, replicaId: replica } as const;
        return send(reply, await logs.open({ ...asked, lines, follow: follow === '1' }, signal));
      },
    }),
    route({
      ...{ method: 'GET', path: '/api/v1/logs', tag, query: frameworkQuery },
      answer: {
        type: 'text/plain',
        description: 'lines of JSON, each with its node; of replicas, as they are',
      },
      summary: 'what a part of modelserve wrote, or all that was written of one request, on all nodes',
      handle: async ({ query, signal, reply }) => {
        seats.take(signal);
        return send(reply, await logs.open(frameworkLogs(query), signal));
      },
    }),
    route({
      ...{ method: 'GET', path: '/api/v1/live', tag, query: liveQuery },
      answer: {
        type: 'text/event-stream',
        description: 'events `status`, `changes`, `event` and `tick`, each with JSON: see docs/api.md',
      },
      summary: 'status, changes, events and measurements as they come; goes on behind last-event-id',
      handle: async ({ query: { after }, signal, request, reply }) => {
        seats.take(signal);
        const header = request.headers['last-event-id'];
        const afterId = (typeof header === 'string' ? header : after) ?? null;
        reply.header('cache-control', 'no-store').header('x-accel-buffering', 'no');
        const messages = await live.open(afterId, signal);
        return reply.type('text/event-stream; charset=utf-8').send(Readable.from(framed(messages, signal)));
      },
    }),
  ];
}

/** How many may follow something at once. */
class Seats {
  readonly #most: number;
  #taken = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /**
   * One for as long as the client stays.
   * @throws ServeError STREAM_LIMIT
   */
  take(signal: AbortSignal): void {
    if (this.#taken >= this.#most) {
      const info = `${this.#most} clients read logs or follow the cluster already: close some, and try again`;
      throw new ServeError(info, { code: 'STREAM_LIMIT' });
    }
    if (signal.aborted) return;
    this.#taken += 1;
    signal.addEventListener(
      'abort',
      () => {
        this.#taken -= 1;
      },
      { once: true },
    );
  }
}

function frameworkLogs(query: z.infer<typeof frameworkQuery>): LogQuery {
  const { node = null, component, request: requestId, deployment = null, lines, since = null } = query;
  if (requestId !== undefined) return { of: 'request', node, requestId, deployment, sinceMs: since };
  const follow = query.follow === '1';
  return { of: 'component', node, component: component ?? 'agent', sinceMs: since, lines, follow };
}

function send(reply: FastifyReply, lines: AsyncIterable<string>): FastifyReply {
  return reply.type('text/plain; charset=utf-8').send(Readable.from(lines));
}

/** Proxies and browsers give up on a stream that says nothing for long. */
const SILENCE_MS = 15_000;

/** Messages as server-sent events, with a comment wherever there is none for a while. */
async function* framed(messages: AsyncIterable<LiveMessage>, signal: AbortSignal): AsyncGenerator<string> {
  yield 'retry: 1000\n\n';
  const source = messages[Symbol.asyncIterator]();
  let next = source.next();
  while (!signal.aborted) {
    const outcome = await withinSilence(next);
    if (outcome === null) yield ': still here\n\n';
    else if (outcome.done === true) return;
    else {
      const { id, event, data } = outcome.value;
      yield `id: ${id}\nevent: ${event}\ndata: ${jsonOf(data)}\n\n`;
      next = source.next();
    }
  }
}

/** Texts of what all clients are told, each of which is made once. */
const texts = new WeakMap<object, string>();

function jsonOf(data: object): string {
  const text = texts.get(data) ?? JSON.stringify(data);
  texts.set(data, text);
  return text;
}

/** @returns null where nothing came for a while */
async function withinSilence<T>(next: Promise<T>): Promise<T | null> {
  const over = new AbortController();
  const silence = delay(SILENCE_MS, null, { signal: over.signal }).catch(() => null);
  try {
    return await Promise.race([next, silence]);
  } finally {
    over.abort();
  }
}
