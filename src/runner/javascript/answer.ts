import { inspect } from 'node:util';
import type { RequestHead, ResponseHead } from '../../channel/messages.ts';
import { messageOf } from '../../lib/errors.ts';
import { encodeJson } from './encode-json.ts';
import { BadJsonError } from './request.ts';

export type Chunks = AsyncIterator<unknown> | Iterator<unknown>;

/** An answer ready to be sent: whole, or its head and where the rest comes from. Its bytes are its own, so that they can be transferred. */
export type Answer =
  | { readonly head: ResponseHead; readonly body: Uint8Array<ArrayBuffer> }
  | { readonly head: ResponseHead; readonly first: Uint8Array<ArrayBuffer>; readonly rest: Chunks };

type Headers = ResponseHead['headers'];

const encoder = new TextEncoder();
const TEXT: Headers = [['content-type', 'text/plain; charset=utf-8']];
const BYTES: Headers = [['content-type', 'application/octet-stream']];
const JSON_TYPE: Headers = [['content-type', 'application/json']];
const JSON_LINES: Headers = [['content-type', 'application/x-ndjson']];

/**
 * Turns what `call` returned into an answer: text, bytes, a Response as it is, chunks of an iterable, else JSON.
 * A streamed answer has its first chunk already, so that what fails before it still becomes an error answer.
 * @throws UnencodableError, and whatever the iterable throws
 */
export async function toAnswer(result: unknown): Promise<Answer> {
  if (typeof result === 'string') return whole(TEXT, encoder.encode(result));
  if (result instanceof Uint8Array) return whole(BYTES, new Uint8Array(result));
  if (result instanceof ArrayBuffer) return whole(BYTES, new Uint8Array(result.slice(0)));
  if (isResponse(result)) return fromResponse(result);
  const chunks = chunksOf(result);
  if (chunks !== null) return fromChunks(chunks);
  const head = { status: 200, headers: JSON_TYPE, ok: !saysFailed(result) };
  return { head, body: encoder.encode(encodeJson(result)) };
}

/** The answer for what user code threw: 400 for a body that is not JSON, else 500, both in the shape of the framework's errors. */
export function failureAnswer(thrown: unknown, request: RequestHead): Answer {
  const isBadJson = thrown instanceof BadJsonError;
  const body = {
    status: 0,
    code: isBadJson ? 'BAD_JSON' : 'BACKEND_ERROR',
    info: isBadJson ? thrown.message : describe(thrown),
    request_id: request.id,
    ...(request.expose_errors && !isBadJson ? { traceback: tracebackOf(thrown) } : {}),
  };
  const head = { status: isBadJson ? 400 : 500, headers: JSON_TYPE, ok: false };
  return { head, body: encoder.encode(JSON.stringify(body)) };
}

/** The bytes of one chunk: text and bytes as they are, anything else as a line of JSON. */
export function chunkBytes(chunk: unknown): Uint8Array<ArrayBuffer> {
  if (typeof chunk === 'string') return encoder.encode(chunk);
  if (chunk instanceof Uint8Array) return new Uint8Array(chunk);
  return encoder.encode(`${encodeJson(chunk)}\n`);
}

/** Stack, causes and properties of anything that was thrown. */
export function tracebackOf(thrown: unknown): string {
  return inspect(thrown, { depth: 3 });
}

/** One line about anything that was thrown. */
export function describe(thrown: unknown): string {
  return thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : messageOf(thrown);
}

function whole(headers: Headers, body: Uint8Array<ArrayBuffer>): Answer {
  return { head: { status: 200, headers, ok: true }, body };
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
  return { head, first: chunkBytes(first.value), rest: chunks };
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

async function fromChunks(chunks: Chunks): Promise<Answer> {
  const first = await chunks.next();
  if (first.done === true) return whole(TEXT, new Uint8Array());
  const head = { status: 200, headers: chunkHeaders(first.value), ok: true };
  return { head, first: chunkBytes(first.value), rest: chunks };
}

function chunkHeaders(chunk: unknown): Headers {
  if (typeof chunk === 'string') return TEXT;
  return chunk instanceof Uint8Array ? BYTES : JSON_LINES;
}
