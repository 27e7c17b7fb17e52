import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { request } from 'undici';
import { expect, it, onTestFinished } from 'vitest';
import { AdminServer } from '../../src/admin/server.ts';
import type { AdminBackend, LiveSource, LogSource, UploadDesk } from '../../src/admin/types.ts';
import { clusterKeys } from '../../src/config/token.ts';
import { silentLog } from '../../src/lib/log.ts';
import { echo, echoMeasurements, echoRevisions, echoTokens, plainRoutes } from '../support/admin-parts.ts';
import { adminKeys } from '../support/secrets.ts';

const KEYS = clusterKeys('mst_of-the-test');
const headers = { authorization: `Bearer ${KEYS.viewerKey}` };

/** Says nothing until the client leaves. */
const silent: LiveSource & LogSource = {
  open: async (_asked: unknown, signal: AbortSignal) =>
    (async function* () {
      yield await new Promise<never>((_, reject) => signal.addEventListener('abort', reject));
    })(),
};

async function serve(): Promise<{ readonly port: number; readonly url: string }> {
  const parts = { live: silent, logs: silent, log: silentLog, routes: plainRoutes };
  const server = new AdminServer(
    { keys: adminKeys(KEYS), host: '127.0.0.1', port: 0, isReadOnly: false, tls: null, version: '1.2.3' },
    {
      ...parts,
      backend: echo<AdminBackend>(['status']),
      uploads: echo<UploadDesk>([]),
      revisions: echoRevisions,
      tokens: echoTokens,
      measurements: echoMeasurements,
    },
  );
  await server.start();
  onTestFinished(async () => await server.stop());
  return { port: server.port, url: `http://127.0.0.1:${server.port}/api/v1` };
}

it('lets so many follow the cluster, and one more when one has left', async () => {
  const { url } = await serve();
  const leave = new AbortController();
  const first = await request(`${url}/live`, { headers, signal: leave.signal });
  first.body.on('error', () => {});
  const rest = await Promise.all(
    Array.from({ length: 255 }, async () => await request(`${url}/live`, { headers })),
  );
  onTestFinished(() => rest.forEach(({ body }) => void body.on('error', () => {}).destroy()));
  expect(new Set([first, ...rest].map(({ statusCode }) => statusCode))).toEqual(new Set([200]));
  for (const path of ['live', 'logs/Echo', 'logs?component=agent']) {
    const { statusCode, body } = await request(`${url}/${path}`, { headers });
    expect([statusCode, await body.json()], path).toMatchObject([503, { code: 'STREAM_LIMIT' }]);
  }
  const status = await request(`${url}/status`, { headers });
  expect([status.statusCode, await status.body.json()]).toMatchObject([200, { call: 'status' }]);
  leave.abort();
  await expect
    .poll(async () => {
      const { statusCode, body } = await request(`${url}/live`, { headers });
      body.on('error', () => {}).destroy();
      return statusCode;
    })
    .toBe(200);
});

it('does not give all that the head may have open to whoever connects', async () => {
  const { port, url } = await serve();
  const strangers: Socket[] = [];
  onTestFinished(() => strangers.forEach((socket) => void socket.destroy()));
  // Not more at once than the system queues for who listens: a client may count as connected that it dropped from there.
  while (strangers.length < 1_024) {
    const some = Array.from({ length: 128 }, () => connect(port, '127.0.0.1'));
    strangers.push(...some);
    await Promise.all(some.map((socket) => once(socket, 'connect')));
  }
  await once(connect(port, '127.0.0.1').resume(), 'close');
  strangers[0]?.destroy();
  await expect
    .poll(async () => {
      const answer = await request(`${url}/status`, { headers }).catch(() => null);
      await answer?.body.dump();
      return answer?.statusCode;
    })
    .toBe(200);
});

it.each([
  `series?deployment=${Array.from({ length: 251 }).map((_, at) => at)}`,
  'series?from=99999999999999999',
  'logs?component=agent&since=99999999999999999',
  'events?after=last',
])('refuses %s before it costs anything', async (path) => {
  const { url } = await serve();
  const { statusCode, body } = await request(`${url}/${path}`, { headers });
  expect([statusCode, await body.json()]).toMatchObject([400, { code: 'BAD_REQUEST' }]);
});
