import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { request } from 'undici';
import { expect, it, onTestFinished, vi } from 'vitest';
import { AdminServer } from '../../src/admin/server.ts';
import type { AdminBackend, LogSource, TrialAnswer, UploadDesk } from '../../src/admin/types.ts';
import type { StatusDocument } from '../../src/cluster/status/types.ts';
import { clusterKeys } from '../../src/config/token.ts';
import { silentLog } from '../../src/lib/log.ts';
import {
  echo,
  echoLive,
  echoMeasurements,
  echoRevisions,
  echoTokens,
  plainRoutes,
} from '../support/admin-parts.ts';
import { adminKeys } from '../support/secrets.ts';

const KEYS = clusterKeys('mst_of-the-test');

/** An admin API whose only node answers at /r as a test says. */
async function trying(answer: RequestListener) {
  const node = createServer(answer);
  await new Promise<void>((resolve) => node.listen(0, '127.0.0.1', () => resolve()));
  onTestFinished(() => void node.close());
  const http = `http://127.0.0.1:${(node.address() as AddressInfo).port}`;
  const status = {
    nodes: [{ alive: true, role: 'head', http }],
    deployments: [{ name: 'R', route: '/r' }],
  } as unknown as StatusDocument;
  const parts = {
    revisions: echoRevisions,
    measurements: echoMeasurements,
    live: echoLive,
    tokens: echoTokens,
  };
  const server = new AdminServer(
    { keys: adminKeys(KEYS), host: '127.0.0.1', port: 0, isReadOnly: false, tls: null, version: '1' },
    {
      ...{ ...parts, routes: plainRoutes, log: silentLog },
      backend: { ...echo<AdminBackend>([]), status: async () => status },
      uploads: echo<UploadDesk>([]),
      logs: echo<LogSource>([]),
    },
  );
  await server.start();
  onTestFinished(async () => await server.stop());
  return async (body: object, signal?: AbortSignal) => {
    const { statusCode, body: said } = await request(`http://127.0.0.1:${server.port}/api/v1/try/R`, {
      ...{ method: 'POST', body: JSON.stringify(body), ...(signal === undefined ? {} : { signal }) },
      headers: { authorization: `Bearer ${KEYS.apiKey}`, 'content-type': 'application/json' },
    });
    return { statusCode, answer: (await said.json()) as TrialAnswer & { readonly info: string } };
  };
}

it('gives a text with its length', async () => {
  const ask = await trying((asked, reply) => reply.end(`${asked.method} ${asked.url} ä`));
  const { answer } = await ask({ method: 'GET', query: 'a=b' });
  expect(answer).toMatchObject({ httpStatus: 200, text: 'GET /r?a=b ä', isCut: false, sizeBytes: 13 });
});

it.each([
  ['no UTF-8', Buffer.from([0x41, 0xff, 0xfe])],
  ['a zero byte', Buffer.from('a\0b')],
  ['a character that ends too soon', Buffer.from('€').subarray(0, 2)],
])('says of bytes that are no text only how many there are: %s', async (_what, bytes) => {
  const ask = await trying((_asked, reply) =>
    reply.writeHead(200, { 'content-type': 'image/png' }).end(bytes),
  );
  const { answer } = await ask({});
  expect(answer).toMatchObject({ text: null, sizeBytes: bytes.length, contentType: 'image/png' });
});

it('gives the beginning of a long text, cut between characters, with its length where it is told', async () => {
  const text = 'x'.repeat(256 * 1024 - 1) + '€'.repeat(1_000_000);
  const ask = await trying((asked, reply) => {
    if (asked.url === '/r?told') reply.setHeader('content-length', Buffer.byteLength(text));
    reply.end(text);
    if (asked.url !== '/r?told') reply.flushHeaders();
  });
  const { answer } = await ask({ query: 'told' });
  expect(answer).toMatchObject({ isCut: true, sizeBytes: Buffer.byteLength(text) });
  expect(answer.text).toBe('x'.repeat(256 * 1024 - 1));
});

it('has nothing of how long a stream is that goes on', async () => {
  const ask = await trying((_asked, reply) => {
    reply.write(randomBytes(300_000).toString('hex'));
  });
  expect((await ask({})).answer).toMatchObject({ isCut: true, sizeBytes: null });
});

it('gives when to try again', async () => {
  const ask = await trying((_asked, reply) => reply.writeHead(429, { 'retry-after': '7' }).end());
  expect((await ask({})).answer).toMatchObject({ httpStatus: 429, retryAfter: '7' });
});

it('says how long it has waited for an answer that does not come', async () => {
  const ask = await trying(() => undefined);
  const late = AbortSignal.abort(new DOMException('late', 'TimeoutError'));
  vi.spyOn(AbortSignal, 'timeout').mockReturnValueOnce(late);
  const { statusCode, answer } = await ask({});
  expect([statusCode, answer.info]).toEqual([
    502,
    expect.stringMatching(/ does not answer: this form waits 120 s, and no longer$/),
  ]);
});

it('leaves the route when it is given up', async () => {
  const route = new EventEmitter();
  const [begun, left] = [once(route, 'begun'), once(route, 'left')];
  const ask = await trying((_asked, reply) => {
    reply.once('close', () => route.emit('left'));
    route.emit('begun');
  });
  const gone = new AbortController();
  const asked = ask({}, gone.signal);
  await begun;
  gone.abort();
  await expect(asked).rejects.toThrow();
  await left;
});

it('says how large a request may be', async () => {
  const ask = await trying((_asked, reply) => reply.end());
  const { statusCode, answer } = await ask({ body: 'x'.repeat(2 * 1024 * 1024) });
  expect(statusCode).toBe(413);
  expect(answer.info).toBe('expected a body of at most 1 MiB, found a larger one');
});
