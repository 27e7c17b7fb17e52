// Writes the golden frames: `node test/channel/golden/make.mjs`. Bytes are put together by hand here, so that they
// check the codecs of both languages instead of repeating one of them. Each NAME.bin is described by NAME.json:
//   frames: what a decoder must find, in order, and what an encoder must write; the payload is `payload_hex` repeated
//           `payload_times` times; `payload` shows JSON payloads to people
//   error:  true where a decoder must refuse the bytes after these frames
import { rmSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = dirname(fileURLToPath(import.meta.url));
const END = 1;

function header(length, type, flags, stream) {
  const out = Buffer.alloc(10);
  const view = new DataView(out.buffer, out.byteOffset, 10);
  view.setUint32(0, length, false);
  view.setUint8(4, type);
  view.setUint8(5, flags);
  view.setUint32(6, stream, false);
  return out;
}

const json = (type, flags, stream, value) => ({ type, flags, stream, value, bytes: Buffer.from(JSON.stringify(value)) });
const raw = (type, flags, stream, bytes, times = 1) => ({ type, flags, stream, bytes: Buffer.from(bytes), times });

const state = { phase: 'ready', max_ongoing: 16, ongoing: 2, error: null };
const head = {
  id: 'k3v9-1', replica: 'Echo-x7k2', method: 'GET', path: '/echo/sub', query: 'a=1&b=%C3%BC', scheme: 'http',
  headers: [['content-type', 'application/json'], ['x-twice', 'one'], ['x-twice', 'two']],
  client: ['127.0.0.1', 54321], timeout_ms: 59990, expose_errors: true,
};
const answer = { status: 200, headers: [['content-type', 'application/json'], ['content-length', '12']], ok: true };

const files = {
  'hello-connector': ['what an ingress sends first', [json(1, 0, 0, { protocol: 1, role: 'ingress', node: 'node-a' })]],
  'hello-replica': ['its answer', [json(1, 0, 0, { protocol: 1, role: 'replica', replica: 'Echo-x7k2', deployment: 'Echo', pid: 4711, state })]],
  'hello-link': ['what a link sends first', [json(1, 0, 0, { protocol: 1, role: 'link', node: 'node-a', nonce: '00'.repeat(32) })]],
  'request-with-body': ['a request whose body follows', [json(2, 0, 1, head)]],
  'request-without-body': ['a request that is complete', [json(2, END, 2, { ...head, method: 'POST', query: '', headers: [], client: null })]],
  'request-unicode': ['JSON payloads are UTF-8', [json(2, END, 3, { ...head, path: '/größe/模型/🙂' })]],
  'data-last': ['the last part of a body', [raw(3, END, 1, '{"text": 1}\n')]],
  'data-empty-last': ['END without bytes', [raw(3, END, 1, '')]],
  'data-full': ['a payload of exactly the limit', [raw(3, 0, 1, [0xab, 0x00], 32768)]],
  'response-head': ['an answer whose body follows', [json(4, 0, 1, answer)]],
  'response-complete': ['an answer without body', [json(4, END, 1, { status: 204, headers: [], ok: true })]],
  'window': ['512 KiB more', [raw(5, 0, 1, [0x00, 0x08, 0x00, 0x00])]],
  'cancel': ['the client is gone', [raw(6, 0, 1, '')]],
  'refuse': ['not begun', [json(7, 0, 1, { reason: 'full' })]],
  'failed': ['ended without its answer', [json(8, 0, 1, { code: 'DEADLINE', info: 'waited 100 ms in the replica' })]],
  'ping': ['eight bytes', [raw(9, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8])]],
  'pong': ['the same eight bytes', [raw(10, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8])]],
  'goaway': ['nothing new from here on', [json(11, 0, 0, { reason: 'draining' })]],
  'control-reconfigure': ['an agent hands over a new user_config', [json(12, 0, 1, { op: 'reconfigure', config: { threshold: 0.5, names: ['a'] } })]],
  'control-drain': ['an agent ends a replica', [json(12, 0, 2, { op: 'drain', grace_ms: 20000 })]],
  'result': ['its answer', [json(13, 0, 1, { ok: false, unsupported: true })]],
  'notify-state': ['a replica that failed', [json(14, 0, 0, { event: 'state', state: { phase: 'failed', max_ongoing: 16, ongoing: 0, error: { message: 'ValueError: no', traceback: 'Traceback…' } } })]],
  'notify-beat': ['every 500 ms', [json(14, 0, 0, { event: 'beat', ongoing: 3 })]],
  'unknown-type': ['a type of a later version: decoded, then ignored', [raw(200, 0x80, 7, [0xff])]],
  'largest-stream': ['numbers are unsigned', [raw(3, END, 0xffffffff, [1])]],
  'conversation': ['one request, both directions, in order', [
    json(1, 0, 0, { protocol: 1, role: 'ingress', node: 'node-a' }),
    json(2, 0, 1, head), raw(3, 0, 1, 'first '), raw(3, END, 1, 'second'),
    json(4, 0, 1, answer), raw(5, 0, 1, [0, 0, 0, 12]), raw(3, END, 1, '{"status":1}'),
  ]],
  'over-limit': ['a payload one byte over the limit closes the connection', [raw(9, 0, 0, [0, 0, 0, 0, 0, 0, 0, 0])], header(65537, 3, 0, 1)],
};

for (const name of readdirSync(folder)) if (/\.(bin|json)$/.test(name)) rmSync(join(folder, name));
for (const [name, [description, frames, refused]] of Object.entries(files)) {
  const parts = frames.flatMap(({ type, flags, stream, bytes, times = 1 }) => {
    const payload = Buffer.concat(Array.from({ length: times }, () => bytes));
    return [header(payload.length, type, flags, stream), payload];
  });
  if (refused !== undefined) parts.push(refused);
  writeFileSync(join(folder, `${name}.bin`), Buffer.concat(parts));
  const described = frames.map(({ type, flags, stream, bytes, times = 1, value }) => ({
    type, flags, stream,
    payload_hex: bytes.toString('hex'),
    ...(times === 1 ? {} : { payload_times: times }),
    ...(value === undefined ? {} : { payload: value }),
  }));
  writeFileSync(
    join(folder, `${name}.json`),
    `${JSON.stringify({ description, frames: described, error: refused !== undefined }, null, 2)}\n`,
  );
}
