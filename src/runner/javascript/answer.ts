import { inspect } from 'node:util';
import type { RequestHead, ResponseHead } from '../../channel/messages.ts';
import { messageOf, ServeError } from '../../lib/errors.ts';
import { ChunkSource, type Chunks } from './chunk-source.ts';
import { encodeJson, UnencodableError } from './encode-json.ts';
import { BadBodyError } from './request.ts';
import { AS_IT_IS, layoutOf } from './stream-layout.ts';

export interface WholeAnswer {
  readonly head: ResponseHead;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** An answer ready to be sent: whole, or its head and where the rest comes from. Its bytes are its own, so that they can be transferred. */
export type Answer =
  | WholeAnswer
  | { readonly head: ResponseHead; readonly first: Uint8Array<ArrayBuffer>; readonly rest: ChunkSource };

type Headers = ResponseHead['headers'];

const encoder = new TextEncoder();
const TEXT: Headers = [['content-type', 'text/plain; charset=utf-8']];
const BYTES: Headers = [['content-type', 'application/octet-stream']];
const JSON_TYPE: Headers = [['content-type', 'application/json']];

/**
 * Turns what `call` returned into an answer: text, bytes, a Response as it is, chunks of an iterable, else JSON.
 * A streamed answer has its first chunk already, so that what fails before it still becomes an error answer.
 * @throws UnencodableError, and whatever the iterable throws
 */
export async function toAnswer(result: unknown, request: RequestHead): Promise<Answer> {
  if (typeof result === 'string') return whole(TEXT, encoder.encode(result));
  if (result instanceof Uint8Array) return whole(BYTES, new Uint8Array(result));
  if (result instanceof ArrayBuffer) return whole(BYTES, new Uint8Array(result.slice(0)));
  if (isResponse(result)) return fromResponse(result);
  const chunks = chunksOf(result);
  if (chunks !== null) return fromChunks(chunks, request);
  const body = encoder.encode(encodeJson(result));
  return { head: { status: 200, headers: sized(JSON_TYPE, body), ok: !saysFailed(result) }, body };
}

/**
 * The answer for what user code threw: 400 for a body that cannot be parsed, which counts as the client's failure, else 500. What was
 * thrown may hold secrets: its traceback goes to the client only where the request's head allows it.
 */
export function failureAnswer(thrown: unknown, request: RequestHead): WholeAnswer {
  if (thrown instanceof BadBodyError) return frameworkError(400, thrown.code, thrown.message, request);
  if (thrown instanceof UnencodableError) {
    return frameworkError(500, 'BACKEND_ERROR', `the answer cannot be encoded: ${thrown.message}`, request);
  }
  const type = thrown instanceof Error ? thrown.name : typeof thrown;
  const info = request.expose_errors
    ? tracebackOf(thrown)
    : `the backend threw ${type}; the log of its replica has the traceback under this request id`;
  return frameworkError(500, 'BACKEND_ERROR', info, request);
}

/** Stack, causes and properties of anything that was thrown; the runner's own errors say all in their message. */
export function tracebackOf(thrown: unknown): string {
  if (thrown instanceof ServeError) return thrown.message;
  return inspect(thrown, { depth: 3 });
}

/** One line about anything that was thrown. */
export function describe(thrown: unknown): string {
  const isTheirs = thrown instanceof Error && !(thrown instanceof ServeError);
  const text = isTheirs ? `${thrown.name}: ${thrown.message}` : messageOf(thrown);
  return text.split('\n', 1)[0] ?? '';
}

function frameworkError(status: number, code: string, info: string, request: RequestHead): WholeAnswer {
  const body = encoder.encode(JSON.stringify({ status: 0, code, info, request_id: request.id }));
  return { head: { status, headers: sized(JSON_TYPE, body), ok: status < 500 }, body };
}

function sized(headers: Headers, body: Uint8Array): Headers {
  return [...headers, ['content-length', String(body.length)]];
}

function whole(headers: Headers, body: Uint8Array<ArrayBuffer>): WholeAnswer {
  return { head: { status: 200, headers: sized(headers, body), ok: true }, body };
}

/** The template's own way to say that a call failed. */
function saysFailed(result: unknown): boolean {
  return typeof result === 'object' && result !== null && 'status' in result && result.status === 0;
}

/** Also a Response of another Fetch implementation, which is no instance of the global class. */
function isResponse(result: unknown): result is Response {
  return (
    result instanceof Response ||
    (typeof result === 'object' &&
      result !== null &&
      Object.prototype.toString.call(result) === '[object Response]' &&
      'arrayBuffer' in result)
  );
}

async function fromResponse(response: Response): Promise<Answer> {
  const head = { status: response.status, headers: [...response.headers], ok: response.status < 500 };
  if (response.body === null) return { head, body: new Uint8Array() };
  const chunks = response.body[Symbol.asyncIterator]();
  const first = await chunks.next();
  if (first.done === true) return { head, body: new Uint8Array() };
  return { head, first: AS_IT_IS.encode(first.value), rest: new ChunkSource(chunks, AS_IT_IS) };
}

function chunksOf(result: unknown): Chunks | null {
  if (typeof result !== 'object' || result === null) return null;
  if (isAsyncIterable(result)) return result[Symbol.asyncIterator]();
  return isGenerator(result) ? result : null;
}

function isAsyncIterable(value: object): value is AsyncIterable<unknown> {
  return Symbol.asyncIterator in value && typeof value[Symbol.asyncIterator] === 'function';
}

/** An iterator that iterates over itself; arrays, maps and sets are values. */
function isGenerator(value: object): value is Iterator<unknown> {
  return 'next' in value && typeof value.next === 'function' && Symbol.iterator in value;
}

async function fromChunks(chunks: Chunks, request: RequestHead): Promise<Answer> {
  const first = await chunks.next();
  if (first.done === true) return whole(TEXT, new Uint8Array());
  const layout = layoutOf(request, first.value);
  const head = { status: 200, headers: layout.headers, ok: true };
  return { head, first: layout.encode(first.value), rest: new ChunkSource(chunks, layout) };
}
