// Receives a file from a web server or an object store as modelserve does, into memory or a file, and prints the seconds
// that took.
// receive.mjs ADDRESS SIZE_BYTES CHUNK_BYTES CONNECTIONS FILE|-
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../lib/paths.mjs';

const dist = join(ROOT, 'dist');
const { Exchange } = await import(join(dist, 'models', 'sources', 'exchange.js'));
const { openSource } = await import(join(dist, 'models', 'sources', 'open-source.js'));
const { readModelUri } = await import(join(dist, 'config', 'model-uri.js'));

const [address, sizeText, chunkText, connectionsText, target] = process.argv.slice(2);
const [size, chunk, connections] = [sizeText, chunkText, connectionsText].map(Number);
const { uri } = readModelUri(address);
const exchange = new Exchange({});
const credentials = { AWS_ACCESS_KEY_ID: 'bench', AWS_SECRET_ACCESS_KEY: 'bench', AWS_REGION: 'us-east-1' };
const source = await openSource(uri, credentials, exchange);
const { signal } = new AbortController();
const file = await source.stat(uri.key, signal);
if (file?.sizeBytes !== size) throw new Error(`${address} has ${file?.sizeBytes} bytes and not ${size}`);
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
// Threads and connections are started once in the life of a head.
await Promise.all(Array.from({ length: connections }, () => receive(connections * chunk)));
next = 0;
const startedMs = performance.now();
await Promise.all(Array.from({ length: connections }, () => receive(size)));
process.stdout.write(`${(performance.now() - startedMs) / 1000}\n`);
await exchange.close();
if (memory === null) closeSync(fd);
