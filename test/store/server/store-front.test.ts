import { once } from 'node:events';
import { createServer } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { silentLog } from '../../../src/lib/log.ts';
import type { LiveTls } from '../../../src/lib/tls/live-tls.ts';
import { probe } from '../../../src/store/server/probe.ts';
import { authorityOf, issue, nodeTls, putFiles } from '../../support/certificates.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { ServerRig, VARIANTS } from '../harness.ts';

const rigs: ServerRig[] = [];

afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.dispose();
});

async function prepare(searchPath: string): Promise<ServerRig> {
  const rig = await ServerRig.prepare(searchPath);
  rigs.push(rig);
  return rig;
}

const DAY_MS = 24 * 3_600_000;

/** What a node has signed for itself whose clock is days ahead. */
async function signedAhead(days: number): Promise<LiveTls> {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + days * DAY_MS });
  try {
    return await nodeTls(tempDir(), 'mst_ours');
  } finally {
    vi.useRealTimers();
  }
}

describe.each(VARIANTS)('TLS in front of $name', ({ searchPath, missing }) => {
  test.skipIf(missing)('lets in who shows a certificate of the cluster', async () => {
    const rig = await prepare(searchPath);
    const folder = tempDir();
    const tls = await nodeTls(folder, 'mst_ours', 'head');
    const server = await rig.startServer({ tls });
    expect(server.url).toBe(`unix:${rig.paths.sockets}/store.sock`);
    expect(server.description).toContain(`on 127.0.0.1:${rig.port} with TLS`);
    const here = await rig.connect({ url: server.url });
    const url = `rediss://127.0.0.1:${rig.port}`;
    const there = await rig.connect({ url, tls: await nodeTls(tempDir(), 'mst_ours', 'worker') });
    await here.appendEvent({ type: 'a', fields: { large: 'x'.repeat(300_000) } });
    const [event] = await there.readEvents(null, 1);
    expect(event?.fields['large']).toHaveLength(300_000);
    await expect(rig.connect()).rejects.toMatchObject({
      code: 'STORE_AUTH',
      message: expect.stringContaining('speaks TLS, and this node does not: start it with --tls nodes'),
    });
    await expect(rig.connect({ url, tls: await nodeTls(tempDir(), 'mst_theirs') })).rejects.toMatchObject({
      code: 'STORE_AUTH',
      message: expect.stringContaining("no certificate of this node's cluster"),
    });
    const bare = connectTls({
      host: '127.0.0.1',
      port: rig.port,
      ca: (await authorityOf('mst_ours')).certificate,
    });
    bare.on('error', () => {});
    bare.write('PING\r\n');
    await new Promise((resolve) => bare.once('close', resolve));
    expect(bare.bytesRead, 'no answer without a certificate').toBe(0);
    // a new certificate is shown to the next client
    putFiles(folder, await issue('mst_ours', 'head, later'), (await authorityOf('mst_ours')).certificate);
    await tls.refresh(silentLog);
    const later = connectTls({
      host: '127.0.0.1',
      port: rig.port,
      ...(await nodeTls(tempDir(), 'mst_ours')).clientOptions,
    });
    await once(later, 'secureConnect');
    expect(later.getPeerCertificate().subject.CN).toBe('head, later');
    later.destroy();
  });
});

const NOT_GOOD_NOW =
  'that is not good now (certificate is not yet valid): are the clocks of both machines right?';
const CUT = 'or it does not take the certificate of this node. Are the clocks of both machines right?';

test.each([
  ['the head’s is days ahead', { head: 2, worker: 0 }, NOT_GOOD_NOW],
  ['the worker’s is days ahead', { head: 0, worker: 2 }, CUT],
])('a worker is told where clocks differ: %s', async (_name, ahead, words) => {
  const rig = await prepare('');
  await rig.startServer({ tls: await signedAhead(ahead.head) });
  const url = `rediss://127.0.0.1:${rig.port}`;
  await expect(rig.connect({ url, tls: await signedAhead(ahead.worker) })).rejects.toMatchObject({
    message: expect.stringContaining(words),
  });
});

const REAL = VARIANTS.find(({ searchPath }) => searchPath !== '');

describe.skipIf(REAL === undefined || REAL.missing)('a managed server behind TLS', () => {
  test('is adopted by the next head, and started anew on its data by one without TLS', async () => {
    const rig = await prepare(REAL?.searchPath ?? '');
    const tls = await nodeTls(tempDir(), 'mst_ours');
    const first = await rig.startServer({ tls });
    await (await rig.connect({ url: first.url })).appendEvent({ type: 'kept', fields: {} });
    const { pid } = first;
    await first.stop({ keep: true });
    const second = await rig.startServer({ tls });
    expect(second.pid).toBe(pid);
    await second.stop({ keep: true });
    const third = await rig.startServer();
    expect(third.pid).not.toBe(pid);
    expect(third.url).toBe(`redis://127.0.0.1:${rig.port}`);
    expect((await (await rig.connect()).readEvents(null, 1))[0]?.type).toBe('kept');
  });

  test('that cannot have its port is not left running', async () => {
    const rig = await prepare(REAL?.searchPath ?? '');
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(rig.port, '127.0.0.1', resolve));
    const started = rig.startServer({ tls: await nodeTls(tempDir(), 'mst_ours') });
    await expect(started).rejects.toMatchObject({ code: 'STORE_PORT_TAKEN' });
    await new Promise((resolve) => holder.close(resolve));
    expect(await probe(`unix:${rig.paths.sockets}/store.sock`, [rig.password])).toMatchObject({
      state: 'absent',
    });
  });
});
