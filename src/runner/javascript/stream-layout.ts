import type { RequestHead, ResponseHead } from '../../channel/messages.ts';
import { encodeJson } from './encode-json.ts';

/** How the items of a streamed answer become bytes. */
export interface StreamLayout {
  readonly headers: ResponseHead['headers'];
  /** @throws UnencodableError */
  encode(item: unknown): Uint8Array<ArrayBuffer>;
  /** what the client gets before its answer is broken off; @param error the framework's JSON */
  failure(error: string): Uint8Array<ArrayBuffer>;
}

const EVENTS = 'text/event-stream';
const encoder = new TextEncoder();

/** Server-sent events where the client asks for them, else what the first item is: text, bytes or lines of JSON. */
export function layoutOf(request: RequestHead, first: unknown): StreamLayout {
  const wantsEvents = request.headers.some(
    ([name, value]) => name.toLowerCase() === 'accept' && value.toLowerCase().includes(EVENTS),
  );
  if (wantsEvents) return EVENT_STREAM;
  if (typeof first === 'string') return plain('text/plain; charset=utf-8');
  return first instanceof Uint8Array ? plain('application/octet-stream') : JSON_LINES;
}

/** Text and bytes as they are, anything else as a line of JSON. */
function encodePlain(item: unknown): Uint8Array<ArrayBuffer> {
  if (typeof item === 'string') return encoder.encode(item);
  if (item instanceof Uint8Array) return new Uint8Array(item);
  return encoder.encode(`${encodeJson(item)}\n`);
}

function plain(contentType: string): StreamLayout {
  return {
    headers: [['content-type', contentType]],
    encode: encodePlain,
    failure: () => new Uint8Array(), // text and bytes have no place for it
  };
}

const JSON_LINES: StreamLayout = {
  ...plain('application/x-ndjson'),
  failure: (error) => encoder.encode(`${error}\n`),
};

/** For a Response, which has its own headers. */
export const AS_IT_IS: StreamLayout = { ...plain(''), headers: [] };

/** Each item an event: text as its data, bytes as the finished event, anything else as JSON. */
const EVENT_STREAM: StreamLayout = {
  headers: [
    ['content-type', EVENTS],
    ['cache-control', 'no-cache'],
    ['x-accel-buffering', 'no'],
  ],
  encode(item) {
    if (item instanceof Uint8Array) return new Uint8Array(item);
    if (typeof item !== 'string') return encoder.encode(`data: ${encodeJson(item)}\n\n`);
    const lines = item.split(/\r\n|\r|\n/);
    return encoder.encode(`${lines.map((line) => `data: ${line}\n`).join('')}\n`);
  },
  failure: (error) => encoder.encode(`event: error\ndata: ${error}\n\n`),
};
