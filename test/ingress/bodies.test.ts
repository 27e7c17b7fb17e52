import http from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sha256 } from '../../src/lib/hash.ts';
import type { FakeCall } from './fake-replica.ts';
import { call, TestNode, until } from './test-node.ts';

const MIB = 1024 * 1024;
let node: TestNode;

beforeEach(() => {
  node = new TestNode();
});

afterEach(async () => {
  await node.close();
});

/** Answers with length and hash of the body. */
function digest({ body, answer }: FakeCall): void {
  void body.then((bytes) => answer(`${bytes.length} ${sha256(bytes)}`));
}

function patterned(bytes: number): Buffer {
  const body = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += 4096) body.writeUInt32BE(at, Math.min(at, bytes - 4));
  return body;
}

describe('a body', () => {
  it.each([1, 64 * 1024, 64 * 1024 + 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 12_345])(
    'of %i bytes arrives whole, announced and chunked',
    async (bytes) => {
      await node.serve({ 'Echo-1': digest });
      const body = patterned(Math.max(4, bytes)).subarray(0, bytes);
      const wanted = `${bytes} ${sha256(body)}`;
      expect((await call(node.port, { body })).text).toBe(wanted);
      const chunked = await call(node.port, { body, headers: { 'transfer-encoding': 'chunked' } });
      expect(chunked.text).toBe(wanted);
      await until('it is over', () => node.ingress.state.open === 0);
      expect(node.ingress.state.keptBytes).toBe(0);
    },
  );

  it('that comes byte by byte is gathered first, without holding a place', async () => {
    await node.serve({ 'Echo-1': digest }, { replica: { maxOngoing: 1 } });
    const socket = connect(node.port, '127.0.0.1');
    socket.write('POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 300\r\n\r\n');
    await until('it has come in', () => node.ingress.state.open === 1);
    for (let index = 0; index < 299; index += 1) socket.write('a');
    await until('its bytes are kept', () => node.ingress.state.keptBytes === 299);
    expect(node.replicas.get('Echo-1')?.ongoing).toBe(0);
    expect((await call(node.port, { body: 'meanwhile' })).status).toBe(200);
    const answered = new Promise<string>((resolve) => socket.once('data', (data) => resolve(String(data))));
    socket.write('a');
    expect(await answered).toContain(sha256('a'.repeat(300)));
    socket.destroy();
  });

  it('that does not end in time gets 504', async () => {
    await node.serve({ 'Echo-1': digest });
    const socket = connect(node.port, '127.0.0.1');
    socket.write(
      'POST /echo HTTP/1.1\r\nhost: x\r\nx-request-timeout-seconds: 0.1\r\ncontent-length: 30\r\n\r\nabc',
    );
    const text = await new Promise<string>((resolve) => socket.once('data', (data) => resolve(String(data))));
    expect(text).toContain('504 Gateway Timeout');
    expect(text).toContain('still being received');
    await new Promise((resolve) => socket.once('close', resolve)); // the rest never came: cut after a moment
  });

  it('is taken back when its client hangs up in the middle, small or large', async () => {
    const cancelled: string[] = [];
    await node.serve({
      'Echo-1': (asked) => void asked.cancelled.then(() => cancelled.push(asked.head.path)),
    });
    for (const [path, bytes] of [
      ['small', 500_000],
      ['large', 3 * MIB],
    ] as const) {
      const socket = connect(node.port, '127.0.0.1');
      socket.write(`POST /echo/${path} HTTP/1.1\r\nhost: x\r\ncontent-length: ${bytes}\r\n\r\n`);
      socket.write(Buffer.alloc(bytes - 100));
      await until(`${path} is under way`, () =>
        path === 'small'
          ? node.ingress.state.keptBytes === bytes - 100
          : node.replicas.get('Echo-1')?.ongoing === 1,
      );
      socket.destroy();
      await until('it is over', () => node.ingress.state.open === 0);
      expect(node.ingress.state).toMatchObject({ inFlight: 0, queued: 0, keptBytes: 0 });
    }
    await until('the replica heard of the large one', () => cancelled.length === 1);
    expect(cancelled).toEqual(['/echo/large']);
  });

  it('larger than what is kept is not given to another replica after a death', async () => {
    const die = (id: string) => (asked: FakeCall) => {
      if (asked.head.path === '/echo') digest(asked);
      else void node.replicas.get(id)?.die();
    };
    await node.serve({ 'Echo-1': die('Echo-1'), 'Echo-2': die('Echo-2') });
    const lost = await call(node.port, { path: '/echo/die', body: Buffer.alloc(2 * MIB) });
    expect(lost.status).toBe(502);
    expect(lost.json().info).toContain('too large to be kept');
    expect((await call(node.port, { body: Buffer.alloc(2 * MIB) })).status).toBe(200);
  });

  it('larger than what is kept goes elsewhere after a refusal, from its first byte', async () => {
    let refusals = 0;
    await node.serve({
      'Echo-1': (asked) => {
        refusals += 1;
        if (refusals === 1) asked.stream.refuse('full');
        else digest(asked);
      },
    });
    const body = patterned(3 * MIB);
    expect((await call(node.port, { body })).text).toBe(`${body.length} ${sha256(body)}`);
    expect(refusals).toBe(2);
  });

  it('waits for room in the retry buffer nowhere: 429', async () => {
    const calls: FakeCall[] = [];
    await node.start({ limits: { retryBufferBytes: 1_000 } });
    await node.serve({ 'Echo-1': (asked) => void calls.push(asked) });
    const first = call(node.port, { body: Buffer.alloc(800) });
    await until('the first is there', () => calls.length === 1);
    expect(node.ingress.state.keptBytes).toBe(800);
    const second = await call(node.port, { body: Buffer.alloc(300) });
    expect(second.status).toBe(429);
    expect(second.json().code).toBe('RETRY_BUFFER_FULL');
    expect(second.headers['retry-after']).toBe('1');
    calls[0]?.answer('ok');
    await first;
    await until('its bytes are let go', () => node.ingress.state.keptBytes === 0);
  });

  /** A client that sends as much as the ingress takes. */
  function pour(headers = ''): { readonly socket: Socket; readonly sentBytes: () => number } {
    const socket = connect(node.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(`POST /echo HTTP/1.1\r\nhost: x\r\n${headers}content-length: ${60 * MIB}\r\n\r\n`);
    let sentBytes = 0;
    const chunk = Buffer.alloc(256 * 1024);
    const more = () => {
      for (sentBytes += chunk.length; socket.write(chunk) && sentBytes < 60 * MIB; sentBytes += chunk.length);
    };
    socket.on('drain', more);
    more();
    return { socket, sentBytes: () => sentBytes };
  }

  it('is held back by a replica that does not read it, until its client leaves', async () => {
    await node.serve(
      { 'Echo-1': () => {} },
      { replica: { grants: false }, route: { requestTimeoutMs: 600_000 } },
    );
    const { socket, sentBytes } = pour();
    await until('it is begun', () => node.replicas.get('Echo-1')?.begun === 1);
    // a window of 1 MiB, what the ingress holds beyond it, and the kernel's buffers on the way
    let before = -1;
    for (let quiet = 0; quiet < 10; quiet = sentBytes() === before ? quiet + 1 : 0) {
      before = sentBytes();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(sentBytes()).toBeLessThan(20 * MIB);
    socket.destroy();
    await until('it is over, ten minutes before its deadline', () => node.ingress.state.open === 0, 60_000);
    expect(node.ingress.state).toMatchObject({ inFlight: 0, queued: 0, keptBytes: 0 });
  });

  it('that waits its turn leaves the queue with its client', async () => {
    const calls: FakeCall[] = [];
    const route = { requestTimeoutMs: 600_000 };
    await node.serve({ 'Echo-1': (asked) => void calls.push(asked) }, { replica: { maxOngoing: 1 }, route });
    const first = call(node.port);
    await until('the replica is busy', () => calls.length === 1);
    const { socket } = pour();
    await until('it waits', () => node.ingress.state.queued === 1);
    socket.destroy();
    await until('it has left', () => node.ingress.state.queued === 0, 60_000);
    calls[0]?.answer('ok');
    expect((await first).text).toBe('ok');
  });

  it.each([
    ['its answer', '', 'HTTP/1.1 200 OK'],
    ['an error of the framework', 'x-request-timeout-seconds: 3\r\n', 'HTTP/1.1 504 Gateway Timeout'],
  ])('held back for long begins %s early, and once', async (_what, headers, expected) => {
    const calls: FakeCall[] = [];
    await node.serve({ 'Echo-1': (asked) => void calls.push(asked) }, { replica: { grants: false } });
    const { socket } = pour(headers);
    let text = '';
    socket.on('data', (bytes) => {
      text += bytes.toString();
    });
    if (headers === '') {
      await until('two bytes are here', () => text.length >= 2, 60_000);
      expect('HTTP/1.1 '.startsWith(text)).toBe(true);
      calls[0]?.answer('"done"');
    }
    await until('the rest is here', () => text.includes('}') || text.endsWith('"done"'), 60_000);
    expect(text.slice(0, expected.length)).toBe(expected);
    expect(text.match(/HTTP/g)).toHaveLength(1);
    socket.destroy();
  });
});

describe('an answer', () => {
  it('to a client that reads slowly makes the replica wait, and nobody hold it', async () => {
    let sentBytes = 0;
    const total = 40 * MIB;
    const script = async (asked: FakeCall) => {
      asked.stream.respond({ status: 200, headers: [['content-length', String(total)]], ok: true }, false);
      while (sentBytes < total) {
        const bytes = Math.min(asked.stream.sendableBytes, 64 * 1024, total - sentBytes);
        if (bytes === 0) await asked.nextWindow();
        else {
          sentBytes += bytes;
          asked.stream.write(Buffer.alloc(bytes), sentBytes === total);
        }
      }
    };
    await node.serve({ 'Echo-1': (asked) => void script(asked) });
    let received = 0;
    const response = await new Promise<http.IncomingMessage>((resolve) => {
      http.get({ host: '127.0.0.1', port: node.port, path: '/echo', agent: false }, resolve);
    });
    response.pause();
    let before = -1;
    for (let quiet = 0; quiet < 10; quiet = sentBytes === before ? quiet + 1 : 0) {
      before = sentBytes;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(sentBytes).toBeLessThan(15 * MIB);
    response.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    response.resume();
    await new Promise((resolve) => response.once('end', resolve));
    expect(received).toBe(total);
  });

  it('that its client does not read at all is given up after the deadline', async () => {
    await node.serve({
      'Echo-1': (asked) => {
        asked.stream.respond({ status: 200, headers: [], ok: true }, false);
        const pour = async () => {
          for (;;) {
            const bytes = Math.min(asked.stream.sendableBytes, 64 * 1024);
            if (bytes === 0) await asked.nextWindow();
            else asked.stream.write(Buffer.alloc(bytes), false);
          }
        };
        void pour();
      },
    });
    const socket = connect(node.port, '127.0.0.1');
    socket.pause();
    socket.on('error', () => {});
    socket.write('GET /echo HTTP/1.1\r\nhost: x\r\nx-request-timeout-seconds: 0.3\r\n\r\n');
    await until('it is under way', () => node.ingress.state.open === 1);
    await until('it is given up', () => node.ingress.state.open === 0);
    expect(node.ingress.state.inFlight).toBe(0);
    socket.destroy();
  });

  it('whose client hangs up in the middle is cancelled', async () => {
    let isCancelled = false;
    await node.serve({
      'Echo-1': (asked) => {
        asked.stream.respond({ status: 200, headers: [], ok: true }, false);
        asked.stream.write(Buffer.from('first'), false);
        void asked.cancelled.then(() => {
          isCancelled = true;
        });
      },
    });
    const response = await new Promise<http.IncomingMessage>((resolve) => {
      http.get({ host: '127.0.0.1', port: node.port, path: '/echo', agent: false }, resolve);
    });
    response.on('error', () => {});
    await new Promise((resolve) => response.once('data', resolve));
    response.destroy();
    await until('the replica heard of it', () => isCancelled);
    expect(node.ingress.state).toMatchObject({ inFlight: 0, queued: 0 });
  });

  it('given before the body was read ends the upload', async () => {
    await node.serve({ 'Echo-1': ({ answer }) => answer('enough') }, { replica: { grants: false } });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    expect((await call(node.port, { body: Buffer.alloc(8 * MIB), agent })).text).toBe('enough');
    expect((await call(node.port, { body: 'next', agent })).text).toBe('enough');
    agent.destroy();
  });
});
