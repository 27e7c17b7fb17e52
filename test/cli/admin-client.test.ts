import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { AdminClient } from '../../src/cli/admin-client.ts';
import { lastAnswer } from '../../src/lib/last-answer.ts';
import { lifeFrom } from '../../src/lib/tls/renewal.ts';
import { authorityOf, issue } from '../support/certificates.ts';

const KEY = 'msa_secret';

async function portOf(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => await new Promise<void>((resolve) => void server.close(() => resolve())));
  return (server.address() as AddressInfo).port;
}

/** This machine by a name that does not say so. */
const elsewhere = (port: number): string => `[::ffff:127.0.0.1]:${port}`;

it('sends no key in clear to an address elsewhere that speaks TLS', async () => {
  let heard = '';
  const answer = lastAnswer({ status: '400 Bad Request', code: 'TLS_REQUIRED', info: 'TLS' });
  const port = await portOf(
    createServer((socket) => {
      socket.on('data', (chunk) => {
        heard += String(chunk);
        socket.end(answer);
      });
    }),
  );
  const client = new AdminClient({ address: elsewhere(port), apiKey: KEY });
  const expected = {
    code: 'BAD_USAGE',
    message: `${elsewhere(port)} speaks TLS: give --address https://${elsewhere(port)}`,
  };
  await expect(client.status()).rejects.toMatchObject(expected);
  await expect(client.revisions()).rejects.toMatchObject(expected);
  expect(heard).toMatch(/^GET \/api\/v1\/session /);
  expect(heard).not.toContain(KEY);
  // On this machine nobody else hears it.
  await expect(new AdminClient({ address: `127.0.0.1:${port}`, apiKey: KEY }).status()).rejects.toMatchObject(
    {
      code: 'BAD_USAGE',
    },
  );
  expect(heard).toContain(KEY);
});

it('asks once without its key where the other side is plain, and again where it was away', async () => {
  const asked: (readonly [path: string | undefined, hasKey: boolean])[] = [];
  const port = await portOf(
    createHttpServer(({ url, headers, socket }, response) => {
      asked.push([url, headers.authorization === `Bearer ${KEY}`]);
      if (asked.length === 1) {
        socket.destroy();
        return;
      }
      response.writeHead(headers.authorization === undefined ? 401 : 200, { connection: 'close' }).end('{}');
    }),
  );
  const client = new AdminClient({ address: elsewhere(port), apiKey: KEY });
  await expect(client.status()).rejects.toMatchObject({ code: 'CLUSTER_UNREACHABLE' });
  await Promise.all([client.status(), client.revisions()]);
  const probe = ['/api/v1/session', false];
  expect(asked.slice(0, 2)).toEqual([probe, probe]);
  expect(asked.slice(2).sort()).toEqual([
    ['/api/v1/revisions', true],
    ['/api/v1/status', true],
  ]);
});

it.each([
  ['is for other names', 0, elsewhere, /for other names: give one of them, as in --address https:/],
  [
    'has ended',
    -400,
    (port: number) => `127.0.0.1:${port}`,
    /certificate has expired.*clocks of both machines/,
  ],
  ['is of nobody who is known', 0, (port: number) => `127.0.0.1:${port}`, /with --ca FILE/],
] as const)('says what to do where the certificate of a head %s', async (what, days, at, words) => {
  const life = lifeFrom(Date.now() + days * 24 * 3_600_000);
  const port = await portOf(createHttpsServer(await issue('mst_ours', 'head', life)));
  const authorities =
    what === 'is of nobody who is known' ? [] : [(await authorityOf('mst_ours')).certificate];
  const client = new AdminClient({ address: `https://${at(port)}`, apiKey: KEY, authorities });
  await expect(client.status()).rejects.toMatchObject({
    code: 'CLUSTER_UNREACHABLE',
    message: expect.stringMatching(words),
  });
});
