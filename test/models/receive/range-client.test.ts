import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { RangeClient } from '../../../src/models/receive/range-client.ts';
import { ReceiveThreads } from '../../../src/models/receive/receive-threads.ts';
import type { Received, Receiver, ReceiveTask, Target } from '../../../src/models/receive/types.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { partAnswer, type RawRequest, startRawServer } from './raw-server.ts';

const never = new AbortController().signal;
const content = randomBytes(3 * 1024 ** 2 + 11);
const OFFSET = 5;

function taskFor(origin: string, target: Target, lengthBytes: number): ReceiveTask {
  return {
    ...{ origin, path: '/m?x=1', headers: { range: `bytes=${OFFSET}-${OFFSET + lengthBytes - 1}` } },
    expected: { offset: OFFSET, totalBytes: content.length, version: '"v1"' },
    ...{ lengthBytes, target, silenceMs: 5_000 },
  };
}

/** Receives into a file through `receiver`. @returns what came of it, and the bytes that were counted */
async function intoFile(receiver: Receiver, origin: string, lengthBytes: number, signal = never) {
  const path = join(tempDir(), 'file');
  const fd = openSync(path, 'w');
  let counted = 0;
  try {
    const task = taskFor(origin, { fd, position: 3 }, lengthBytes);
    const received = await receiver.receive(task, { signal, onBytes: (count) => (counted += count) });
    return { received, counted, bytes: readFileSync(path).subarray(3) };
  } finally {
    closeSync(fd);
  }
}

function client(): RangeClient {
  const made = new RangeClient({});
  onTestFinished(async () => await made.close());
  return made;
}

const expected = (lengthBytes: number): Buffer => content.subarray(OFFSET, OFFSET + lengthBytes);

async function sendInPieces({ socket }: RawRequest, bytes: Buffer, sizes: readonly number[]): Promise<void> {
  let at = 0;
  for (const size of sizes) {
    socket.write(bytes.subarray(at, at + size));
    at += size;
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.write(bytes.subarray(at));
}

describe('receiving a part', () => {
  it('puts it where it belongs, into a file and into memory', async () => {
    const length = content.length - 100;
    const origin = await startRawServer(({ socket }) => socket.write(partAnswer(content, OFFSET, length)));
    const receiver = client();
    const { received, counted, bytes } = await intoFile(receiver, origin, length);
    expect([received, counted]).toEqual([{ kind: 'whole' }, length]);
    expect(bytes.equals(expected(length))).toBe(true);
    const memory = new Uint8Array(length);
    const task = taskFor(origin, { memory }, length);
    expect(await receiver.receive(task, { signal: never, onBytes: () => undefined })).toEqual({
      kind: 'whole',
    });
    expect(expected(length).equals(memory)).toBe(true);
  });

  it('reads it wherever the network cuts it, on one connection', async () => {
    let sizes: readonly number[] = [];
    let connections = 0;
    const origin = await startRawServer((request) => {
      connections = request.connection;
      void sendInPieces(request, partAnswer(content, OFFSET, 300), sizes);
    });
    const receiver = client();
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 150 }), { maxLength: 6 }), async (drawn) => {
        sizes = drawn;
        const memory = new Uint8Array(300);
        const task = taskFor(origin, { memory }, 300);
        const received = await receiver.receive(task, { signal: never, onBytes: () => undefined });
        expect(received).toEqual({ kind: 'whole' });
        expect(expected(300).equals(memory)).toBe(true);
      }),
      { numRuns: 60 },
    );
    expect(connections).toBe(1);
  });

  it('asks as it was told to, with the host, and for no encoding', async () => {
    const seen: string[] = [];
    const origin = await startRawServer(({ lines, socket }) => {
      seen.push(...lines);
      socket.write(partAnswer(content, OFFSET, 10));
    });
    await intoFile(client(), origin, 10);
    expect(seen).toEqual([
      'GET /m?x=1 HTTP/1.1',
      `host: ${origin.slice('http://'.length)}`,
      'accept-encoding: identity',
      'connection: keep-alive',
      `range: bytes=${OFFSET}-${OFFSET + 9}`,
    ]);
  });

  it.each<[string, string, Received | object]>([
    [
      'chunks',
      'HTTP/1.1 206 P\r\nContent-Range: bytes 5-14/{}\r\nTransfer-Encoding: chunked\r\n\r\n',
      { kind: 'odd' },
    ],
    ['no HTTP', 'hello\r\n\r\n', { kind: 'odd' }],
    ['another file', partHead({ etag: '"v2"' }), { kind: 'answer', head: { statusCode: 206 } }],
    ['another size', partHead({ total: 7 }), { kind: 'answer', head: { statusCode: 206 } }],
    ['another part', partHead({ from: 6 }), { kind: 'answer', head: { statusCode: 206 } }],
    ['the whole file', 'HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n', { kind: 'answer', text: '' }],
    ['too much', partHead({ length: 11 }), { kind: 'broken', code: 'PART_LENGTH', hasAnswered: true }],
    ['a refusal', 'HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\nwhy?', { kind: 'answer', text: 'why?' }],
    [
      'a refusal in chunks',
      'HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwh\r\r\n2;x\r\n\ny\r\n0\r\n\r\n',
      { kind: 'answer', text: 'wh\r\ny' },
    ],
    ['a long refusal', 'HTTP/1.1 403 No\r\nContent-Length: 999999\r\n\r\nwhy?', { kind: 'answer', text: '' }],
  ])('writes nothing of %s', async (_name, answer, outcome) => {
    const text = answer.replace('{}', `${content.length}`);
    const origin = await startRawServer(({ socket }) =>
      socket.write(text.includes('503') ? text : `${text}0123456789`),
    );
    const { received, counted, bytes } = await intoFile(client(), origin, 10);
    expect(received).toMatchObject(outcome);
    expect([counted, bytes.length]).toEqual([0, 0]);
  });

  it('says how it broke, and counts what has come until then', async () => {
    const whole = partAnswer(content, OFFSET, 1000);
    const headBytes = whole.length - 1000;
    const origin = await startRawServer(({ socket }) => socket.end(whole.subarray(0, headBytes + 400)));
    const ended = await intoFile(client(), origin, 1000);
    expect(ended.received).toMatchObject({ kind: 'broken', code: 'ECONNRESET', hasAnswered: true });
    expect(ended.counted).toBe(400);
    expect(ended.bytes.equals(expected(400))).toBe(true);
    const short = await startRawServer(({ socket }) => socket.write(partAnswer(content, OFFSET, 400)));
    const { received, counted } = await intoFile(client(), short, 1000);
    expect(received).toMatchObject({ code: 'PART_LENGTH', message: 'it ends after 400 of 1000 bytes' });
    expect(counted).toBe(400);
  });

  it('says that nobody listens, and that a server says nothing', async () => {
    const silent = await startRawServer(() => undefined);
    const task = { ...taskFor(silent, { memory: new Uint8Array(10) }, 10), silenceMs: 50 };
    const options = { signal: never, onBytes: () => undefined };
    expect(await client().receive(task, options)).toMatchObject({ kind: 'broken', code: 'ETIMEDOUT' });
    const nobody = { ...task, origin: 'http://127.0.0.1:1' };
    expect(await client().receive(nobody, options)).toMatchObject({ kind: 'broken', code: 'ECONNREFUSED' });
  });

  it('asks again at once where a connection that had rested is closed', async () => {
    let asked = 0;
    const origin = await startRawServer(({ socket }) => {
      asked += 1;
      if (asked === 2) socket.destroy();
      else socket.write(partAnswer(content, OFFSET, 10));
    });
    const receiver = client();
    for (let round = 0; round < 2; round += 1)
      expect((await intoFile(receiver, origin, 10)).received).toEqual({ kind: 'whole' });
    expect(asked).toBe(3);
  });

  it('uses no connection again that said more than its answer', async () => {
    const seen: number[] = [];
    const origin = await startRawServer(({ socket, connection }) => {
      seen.push(connection);
      socket.write(Buffer.concat([partAnswer(content, OFFSET, 10), Buffer.from('HTTP/1.1 206 smuggled')]));
    });
    const receiver = client();
    for (let round = 0; round < 2; round += 1)
      expect((await intoFile(receiver, origin, 10)).bytes.equals(expected(10))).toBe(true);
    expect(seen).toEqual([1, 2]);
  });

  it('sends nothing that would be a request of its own', async () => {
    const origin = await startRawServer(({ socket }) => socket.write('HTTP/1.1 500 never asked\r\n\r\n'));
    const task = taskFor(origin, { memory: new Uint8Array(10) }, 10);
    const options = { signal: never, onBytes: () => undefined };
    for (const odd of [{ path: '/a b' }, { path: '/ü' }, { headers: { 'x-a': 'b\r\nGET /' } }])
      expect(await client().receive({ ...task, ...odd }, options)).toEqual({ kind: 'odd' });
  });

  it.each([
    ['on this thread', () => new RangeClient({})],
    ['on another', () => new ReceiveThreads({}, 2)],
  ])('ends when it is not wanted any more, and writes no more (%s)', async (_name, make) => {
    const receiver = make();
    onTestFinished(async () => await receiver.close());
    const stop = new AbortController();
    const reason = new Error('enough');
    const origin = await startRawServer(({ socket }) => {
      socket.write(partAnswer(content, OFFSET, 1000).subarray(0, 500));
      setImmediate(() => stop.abort(reason));
    });
    await expect(intoFile(receiver, origin, 1000, stop.signal)).rejects.toBe(reason);
    await expect(intoFile(receiver, origin, 1000, stop.signal)).rejects.toBe(reason);
  });

  it.each([
    ['on this thread', () => new RangeClient({})],
    ['on another', () => new ReceiveThreads({}, 1)],
  ])('throws what writing threw (%s)', async (_name, make) => {
    const receiver = make();
    onTestFinished(async () => await receiver.close());
    const origin = await startRawServer(({ socket }) => socket.write(partAnswer(content, OFFSET, 10)));
    const fd = openSync('/dev/full', 'w');
    onTestFinished(() => closeSync(fd));
    const task = taskFor(origin, { fd, position: 0 }, 10);
    const receiving = receiver.receive(task, { signal: never, onBytes: () => undefined });
    await expect(receiving).rejects.toMatchObject({ code: 'ENOSPC' });
  });
});

describe('receiving on threads', () => {
  it('fills files and shared memory, many at once', async () => {
    const length = 500_000;
    const origin = await startRawServer(({ socket }) => socket.write(partAnswer(content, OFFSET, length)));
    const receiver = new ReceiveThreads({}, 2);
    onTestFinished(async () => await receiver.close());
    const warnings: string[] = [];
    const warn = (warning: Error): number => warnings.push(warning.name);
    process.on('warning', warn);
    onTestFinished(() => void process.off('warning', warn));
    const { signal } = new AbortController();
    const files = Array.from({ length: 20 }, async () => await intoFile(receiver, origin, length, signal));
    for (const { received, counted, bytes } of await Promise.all(files)) {
      expect([received, counted]).toEqual([{ kind: 'whole' }, length]);
      expect(bytes.equals(expected(length))).toBe(true);
    }
    expect(warnings).toEqual([]);
    const memory = new Uint8Array(new SharedArrayBuffer(length));
    const options = { signal: never, onBytes: () => undefined };
    expect(await receiver.receive(taskFor(origin, { memory }, length), options)).toEqual({ kind: 'whole' });
    expect(expected(length).equals(memory)).toBe(true);
  });

  it('lets other threads of the process go first', async () => {
    const receiver = new ReceiveThreads({}, 1);
    onTestFinished(async () => await receiver.close());
    let seen: readonly number[] = [];
    const origin = await startRawServer(({ socket }) => {
      seen = nicenessOfThreads();
      socket.write(partAnswer(content, OFFSET, 10));
    });
    const own = getPriority(0);
    expect(nicenessOfThreads()).not.toContain(own + 5);
    await intoFile(receiver, origin, 10);
    expect(seen.filter((niceness) => niceness === own + 5)).toHaveLength(1);
  });

  it('fails what a thread was to receive when it is closed', async () => {
    const receiver = new ReceiveThreads({}, 1);
    let asked = false;
    const origin = await startRawServer(() => {
      asked = true;
    });
    const receiving = intoFile(receiver, origin, 10);
    const failed = expect(receiving).rejects.toMatchObject({ code: 'ECONNABORTED' });
    while (!asked) await delay(5);
    await receiver.close();
    await failed;
  });
});

function nicenessOfThreads(): readonly number[] {
  return readdirSync('/proc/self/task').map((threadId) => getPriority(Number(threadId)));
}

function partHead({ etag = '"v1"', total = content.length, from = OFFSET, length = 10 }): string {
  const range = `bytes ${from}-${from + length - 1}/${total}`;
  return `HTTP/1.1 206 Partial\r\nETag: ${etag}\r\nContent-Range: ${range}\r\nContent-Length: ${length}\r\n\r\n`;
}
