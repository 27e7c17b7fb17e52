import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { parse } from './parse.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** see Route; not there: it does not */
    changes?: boolean;
  }
}

type Shape = z.ZodType;

/** A body that is no JSON: handed on as it comes. */
export const BYTES = z.custom<Readable>(
  (body) => body instanceof Readable,
  'expected application/octet-stream',
);

/** What a handler gets of a call, as its schemas have read it. */
export interface Call<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /** aborted when the client has gone, or has its answer */
  readonly signal: AbortSignal;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

/** The answer of a route that is no JSON, by its media type, and what it is. */
export interface OtherAnswer {
  readonly type: string;
  readonly description: string;
}

/** One call of the API: the same schemas check what comes in and make the document that describes it. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** with parameters in braces: `/api/v1/logs/{deployment}` */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  /** only who may do everything may call it: it changes something, or reads what no page shows */
  readonly changes: boolean;
  readonly params: Shape;
  readonly query: Shape;
  readonly body: Shape | null;
  /** null: JSON whose form the summary and docs/api.md tell */
  readonly answer: Shape | OtherAnswer | null;
  readonly bodyLimitBytes: number | null;
  readonly handle: (call: Call<unknown, unknown, unknown>) => unknown;
}

interface RouteDraft<Params extends Shape, Query extends Shape, Body extends Shape> {
  readonly method: Route['method'];
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  /** not given: all but GET do */
  readonly changes?: boolean;
  readonly params?: Params;
  readonly query?: Query;
  readonly body?: Body;
  readonly answer?: Shape | OtherAnswer;
  readonly bodyLimitBytes?: number;
  readonly handle: (call: Call<z.infer<Params>, z.infer<Query>, z.infer<Body>>) => unknown;
}

const NOTHING = z.object({});

/** A route whose handler has the types of its schemas. */
export function route<
  Params extends Shape = typeof NOTHING,
  Query extends Shape = typeof NOTHING,
  Body extends Shape = typeof NOTHING,
>(draft: RouteDraft<Params, Query, Body>): Route {
  const { method, path, tag, summary, params, query, body, answer, bodyLimitBytes, handle } = draft;
  const { changes = method !== 'GET' } = draft;
  return {
    ...{ method, path, tag, summary, changes },
    params: params ?? NOTHING,
    query: query ?? NOTHING,
    body: body ?? null,
    answer: answer ?? null,
    bodyLimitBytes: bodyLimitBytes ?? null,
    handle: handle as Route['handle'],
  };
}

/** Serves the routes; what comes in is checked before a handler sees it. */
export function addRoutes(app: FastifyInstance, routes: readonly Route[]): void {
  for (const one of routes) {
    app.route({
      method: one.method,
      url: one.path.replace(/\{(\w+)\}/g, ':$1'),
      exposeHeadRoute: false,
      config: { changes: one.changes },
      ...(one.bodyLimitBytes === null ? {} : { bodyLimit: one.bodyLimitBytes }),
      handler: async (request, reply) =>
        await one.handle({
          params: parse(one.params, request.params, 'path'),
          query: parse(one.query, request.query, 'query'),
          body: one.body === null ? request.body : parse(one.body, request.body, 'body'),
          signal: goneSignal(reply),
          request,
          reply,
        }),
    });
  }
}

/** Aborted when the client has gone, or has its answer. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.on('close', () => gone.abort());
  return gone.signal;
}
