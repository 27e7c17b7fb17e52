// Receives a file from a web server as modelserve does, into memory or a file, and prints the seconds that took.
// receive.mjs ORIGIN PATH SIZE_BYTES CHUNK_BYTES CONNECTIONS FILE|-
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../lib/paths.mjs';

const models = join(ROOT, 'dist', 'models', 'sources');
const { Exchange } = await import(join(models, 'exchange.js'));
const { openSource } = await import(join(models, 'open-source.js'));

const [origin, path, sizeText, chunkText, connectionsText, target] = process.argv.slice(2);
const [size, chunk, connections] = [sizeText, chunkText, connectionsText].map(Number);
const key = path.slice(1);
const exchange = new Exchange({});
const source = await openSource({ scheme: 'http', endpoint: origin, key, query: '' }, {}, exchange);
const { signal } = new AbortController();
const file = await source.stat(key, signal);
if (file?.sizeBytes !== size) throw new Error(`${path} has ${file?.sizeBytes} bytes and not ${size}`);
const memory = target === '-' ? new Uint8Array(new SharedArrayBuffer(size)).fill(1) : null;
const fd = memory === null ? openSync(target, 'w') : -1;
if (memory === null) ftruncateSync(fd, size);

let next = 0;
const receive = async (end) => {
  while (next < end) {
    const offset = next;
    next += chunk;
    const length = Math.min(chunk, size - offset);
    const into =
      memory === null ? { fd, position: offset } : { memory: memory.subarray(offset, offset + length) };
    await source.readInto(file, { offset, length }, into, { signal, onBytes: () => undefined });
  }
};
await receive(chunk); // threads are started once in the life of a head
next = 0;
const startedMs = performance.now();
await Promise.all(Array.from({ length: connections }, () => receive(size)));
process.stdout.write(`${(performance.now() - startedMs) / 1000}\n`);
await exchange.close();
if (memory === null) closeSync(fd);
