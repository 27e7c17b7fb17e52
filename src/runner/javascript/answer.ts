import { inspect } from 'node:util';
import type { RequestHead, ResponseHead } from '../../channel/messages.ts';
import { messageOf, ServeError } from '../../lib/errors.ts';
import { ChunkSource, type Chunks } from './chunk-source.ts';
import { encodeJson, UnencodableError } from './encode-json.ts';
import { BadBodyError } from './request.ts';
import { AS_IT_IS, layoutOf } from './stream-layout.ts';
import type { AnswerBytes } from './thread-calls.ts';

export interface WholeAnswer {
  readonly head: ResponseHead;
  readonly body: AnswerBytes;
}

/** An answer ready to be sent: whole, or its head and where the rest comes from. Its bytes are its own, so that they can be transferred. */
export type Answer =
  | WholeAnswer
  | { readonly head: ResponseHead; readonly first: Uint8Array<ArrayBuffer>; readonly rest: ChunkSource };

/** The call that is answered; its head is read where it matters only. */
export interface Asked {
  readonly head: RequestHead;
}

type Headers = ResponseHead['headers'];

/** Longer texts are encoded in the thread of the instance: the main one is everybody's. */
const MOST_TEXT_CHARS = 1024;

/** A longer text is not looked into for whether it reports failure: those that do are short. */
const MOST_LOOKED_AT = 16 * 1024;

const encoder = new TextEncoder();
const TEXT: Headers = [['content-type', 'text/plain; charset=utf-8']];
const BYTES: Headers = [['content-type', 'application/octet-stream']];
const JSON_TYPE: Headers = [['content-type', 'application/json']];

/**
 * Turns what `call` returned into an answer: text, bytes, a Response as it is, chunks of an iterable, else JSON.
 * A streamed answer has its first chunk already, so that what fails before it still becomes an error answer.
 * @throws UnencodableError, and whatever the iterable throws
 */
export function toAnswer(result: unknown, asked: Asked): Answer | Promise<Answer> {
  if (typeof result === 'string') return whole(TEXT, encoded(result));
  if (result instanceof Uint8Array) return whole(BYTES, new Uint8Array(result));
  if (result instanceof ArrayBuffer) return whole(BYTES, new Uint8Array(result.slice(0)));
  if (isResponse(result)) return fromResponse(result);
  const chunks = chunksOf(result);
  if (chunks !== null) return fromChunks(chunks, asked);
  const text = encodeJson(result);
  const body = encoded(text);
  return { head: { status: 200, headers: sized(JSON_TYPE, body), ok: !saysFailed(result, text) }, body };
}

/** The answer for what user code threw: 400 for a body that cannot be parsed, which counts as the client's failure, else 500. */
export function failureAnswer(thrown: unknown, { head }: Asked): WholeAnswer {
  const status = thrown instanceof BadBodyError ? 400 : 500;
  const body = encoded(failureText(thrown, head));
  return { head: { status, headers: sized(JSON_TYPE, body), ok: status < 500 }, body };
}

/**
 * The framework's JSON about what user code threw. That may hold secrets: the traceback goes to the client only where the request's head
 * allows it.
 */
export function failureText(thrown: unknown, request: RequestHead): string {
  const code = thrown instanceof BadBodyError ? thrown.code : 'BACKEND_ERROR';
  return JSON.stringify({ status: 0, code, info: failureInfo(thrown, request), request_id: request.id });
}

function failureInfo(thrown: unknown, request: RequestHead): string {
  if (thrown instanceof BadBodyError) return thrown.message;
  if (thrown instanceof UnencodableError) return `the answer cannot be encoded: ${thrown.message}`;
  if (request.expose_errors) return tracebackOf(thrown);
  const type = thrown instanceof Error ? thrown.name : typeof thrown;
  return `the backend threw ${type}; the log of its replica has the traceback under this request id`;
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

function encoded(text: string): AnswerBytes {
  return text.length <= MOST_TEXT_CHARS ? text : encoder.encode(text);
}

function sized(headers: Headers, body: AnswerBytes): Headers {
  const sizeBytes = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
  return [...headers, ['content-length', String(sizeBytes)]];
}

function whole(headers: Headers, body: AnswerBytes): WholeAnswer {
  return { head: { status: 200, headers: sized(headers, body), ok: true }, body };
}

/** Whether it is the template's own way to say that a call failed. @param text the result as JSON */
function saysFailed(result: unknown, text: string): boolean {
  if (typeof result !== 'object' || result === null) return false;
  if (result instanceof Map || 'toJSON' in result) return textSaysFailed(text);
  return 'status' in result && result.status === 0;
}

function textSaysFailed(text: string): boolean {
  if (text.length > MOST_LOOKED_AT || !text.includes('"status"')) return false;
  try {
    const said: unknown = JSON.parse(text);
    return typeof said === 'object' && said !== null && 'status' in said && said.status === 0;
  } catch {
    return false;
  }
}

/**
 * Whether the first chunk of a ready-made answer is all of it, and says that the call failed. A refusal (4xx) is of the
 * client's making, whatever its words.
 */
function responseSaysFailed({ status, headers }: Response, first: Uint8Array): boolean {
  const type = headers.get('content-type') ?? '';
  if (status >= 400 || !/^\s*application\/json\s*(?:;|$)/i.test(type)) return false;
  return first.length <= MOST_LOOKED_AT && textSaysFailed(Buffer.from(first).toString());
}

/** Of any Fetch implementation. Not by `instanceof`: naming the global class loads Node's, which most backends never need. */
function isResponse(result: unknown): result is Response {
  return (
    typeof result === 'object' &&
    result !== null &&
    Object.prototype.toString.call(result) === '[object Response]' &&
    'arrayBuffer' in result
  );
}

async function fromResponse(response: Response): Promise<Answer> {
  const head = { status: response.status, headers: [...response.headers], ok: response.status < 500 };
  if (response.body === null) return { head, body: new Uint8Array() };
  const chunks = response.body[Symbol.asyncIterator]();
  const first = await chunks.next();
  if (first.done === true) return { head, body: new Uint8Array() };
  const bytes = AS_IT_IS.encode(first.value);
  const ok = head.ok && !responseSaysFailed(response, bytes);
  return { head: { ...head, ok }, first: bytes, rest: new ChunkSource(chunks, AS_IT_IS) };
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

async function fromChunks(chunks: Chunks, { head: request }: Asked): Promise<Answer> {
  const first = await chunks.next();
  if (first.done === true) return whole(TEXT, new Uint8Array());
  const layout = layoutOf(request, first.value);
  const head = { status: 200, headers: layout.headers, ok: true };
  return { head, first: layout.encode(first.value), rest: new ChunkSource(chunks, layout) };
}
