import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { runToEnd } from '../../bench/lib/processes.mjs';
import { AnswerReader } from '../../bench/load/answer-reader.mjs';
import { openLoop } from '../../bench/load/load.mjs';

const GENERATOR = join(import.meta.dirname, '..', '..', 'bench', 'load', 'generator.mjs');

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function serve(handler: Parameters<typeof createServer>[1]): Promise<number> {
  const server: Server = createServer({}, handler ?? (() => undefined));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function target(port: number, method = 'POST') {
  return { port, path: '/noop', method, contentType: 'application/json', body: Buffer.from('{"a": 1}') };
}

/** Runs the generator itself for a second, as where wrk is not installed. */
async function generate(to: ReturnType<typeof target>, load: Record<string, number>) {
  const folder = mkdtempSync(join(tmpdir(), 'modelserve-load-test-'));
  closers.push(() => rmSync(folder, { recursive: true, force: true }));
  const bodyFile = join(folder, 'body');
  writeFileSync(bodyFile, to.body);
  const settings = JSON.stringify({ ...to, body: undefined, bodyFile, seconds: 1, ...load });
  const { output } = await runToEnd(process.execPath, [GENERATOR, settings], { timeoutMs: 20_000 });
  return JSON.parse(output.replace('FIGURES ', ''));
}

describe('answers', () => {
  const fixed = (status: number, body: string) =>
    `HTTP/1.1 ${status} X\r\nContent-Length: ${body.length}\r\nserver: x\r\n\r\n${body}`;
  const chunked = (status: number, parts: readonly string[]) =>
    `HTTP/1.1 ${status} X\r\nTransfer-Encoding: chunked\r\n\r\n${[...parts, '']
      .map((part) => `${part.length.toString(16)}\r\n${part}\r\n`)
      .join('')}`;

  test('are counted with their status however the bytes arrive', () => {
    const answer = fc.oneof(
      fc.record({ status: fc.constantFrom(200, 429, 500), body: fc.string({ unit: 'grapheme-ascii' }) }),
      fc.record({
        status: fc.constantFrom(200, 502),
        parts: fc.array(fc.string({ unit: 'grapheme-ascii', minLength: 1 })),
      }),
    );
    fc.assert(
      fc.property(fc.array(answer, { minLength: 1 }), fc.array(fc.nat(60)), (answers, cuts) => {
        const seen: number[] = [];
        const reader = new AnswerReader((status: number) => seen.push(status));
        for (const one of answers) {
          const bytes = Buffer.from(
            'body' in one ? fixed(one.status, one.body) : chunked(one.status, one.parts),
          );
          let at = 0;
          for (const cut of cuts.filter((size) => size > 0)) {
            if (at + cut < bytes.length) reader.read(bytes.subarray(at, at + cut));
            else break;
            at += cut;
          }
          reader.read(bytes.subarray(at));
        }
        expect(seen).toEqual(answers.map(({ status }) => status));
      }),
    );
  });

  test('without a length are refused', () => {
    const reader = new AnswerReader(() => undefined);
    expect(() => reader.read(Buffer.from('HTTP/1.1 200 OK\r\n\r\n'))).toThrow('without a length');
  });
});

describe('open loop', () => {
  test('sends what comes due in its time, all of it, with the body, whatever the method', async () => {
    const bodies: string[] = [];
    const port = await serve((request, response) => {
      let body = '';
      request.on('data', (part) => {
        body += part;
      });
      request.on('end', () => {
        bodies.push(`${request.method} ${body}`);
        response.end('{}');
      });
    });
    const figures = await openLoop(target(port, 'GET'), { connections: 4, seconds: 1, ratePerSecond: 50 });
    expect(figures).toMatchObject({ requests: 50, errors: { status: 0, timeout: 0, socket: 0 } });
    expect(bodies).toEqual(Array.from({ length: 50 }, () => 'GET {"a": 1}'));
  });

  test('counts what a stalled server kept from being sent, with the time it waited', async () => {
    const port = await serve(() => undefined);
    const figures = await generate(target(port), { connections: 2, ratePerSecond: 20, answerTimeoutMs: 500 });
    expect(figures).toMatchObject({ requests: 0, errors: { timeout: 20 } });
    // The last came due 50 ms before the second was over, the first at its begin.
    expect(figures.p99Us).toBeGreaterThanOrEqual(1_400_000);
    expect(figures.p50Us).toBeGreaterThanOrEqual(900_000);
  });

  test('a bad status is an error, not a request', async () => {
    const port = await serve((_request, response) => {
      response.statusCode = 503;
      response.end('{}');
    });
    const figures = await openLoop(target(port), { connections: 2, seconds: 1, ratePerSecond: 10 });
    expect(figures).toMatchObject({ requests: 0, errors: { status: 10 } });
  });
});

test('the generator loads in a closed loop where wrk is not installed', async () => {
  let requests = 0;
  const port = await serve((request, response) => {
    request.resume().on('end', () => {
      requests += 1;
      response.end('{}');
    });
  });
  const figures = await generate(target(port), { connections: 3, answerTimeoutMs: 5_000 });
  expect(figures).toMatchObject({ requests, errors: { status: 0, timeout: 0, socket: 0 } });
  expect(requests).toBeGreaterThan(3);
});
