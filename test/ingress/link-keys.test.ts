import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { linkRequest } from '../../src/channel/link-request.ts';
import { sha256 } from '../../src/lib/hash.ts';
import { LiveSecrets } from '../../src/lib/live-secrets.ts';
import { pathSecrets } from '../support/secrets.ts';
import type { FakeCall } from './fake-replica.ts';
import { call, pairOfEachTest, routeOf, until } from './test-node.ts';

/** The near one has no replica of its own unless a test says so. */
const pair = pairOfEachTest();

async function link(script: (asked: FakeCall) => void): Promise<void> {
  await pair.far.start();
  await pair.near.start();
  await pair.far.replica('Echo-f', script);
  const { linkPort } = pair.far.ingress.state;
  const table = { nodes: [{ nodeId: 'node-b', host: '127.0.0.1', linkPort }] };
  const routes = [routeOf({ endpoints: [{ replicaId: 'Echo-f', nodeId: 'node-b' }] })];
  await pair.far.publish(routes, table);
  await pair.near.publish(routes, table);
}

function digest({ body, answer }: FakeCall): void {
  void body.then((bytes) => answer(`${bytes.length} ${sha256(bytes)}`));
}

/** How many connections to a port of this machine are open. */
function openTo(port: number): number {
  const rows = readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1);
  return rows
    .map((row) => row.trim().split(/\s+/))
    .filter(
      ([, , remote, state]) => state === '01' && Number.parseInt(remote?.split(':')[1] ?? '', 16) === port,
    ).length;
}

describe('a link whose key is replaced', () => {
  it('is followed by another, and ends with the last request that is on it', async () => {
    const calls: FakeCall[] = [];
    await link((asked) => void calls.push(asked));
    await pair.near.connected('Echo-f');
    const slow = call(pair.near.port, { body: 'slow' });
    await until('it is under way', () => calls.length === 1);
    const use = async (...linkKeys: readonly [string, ...string[]]): Promise<void> => {
      for (const node of [pair.far, pair.near]) await node.ingress.useSecrets({ ...pathSecrets(), linkKeys });
    };
    const links = (): number => openTo(pair.far.ingress.state.linkPort);
    expect(links()).toBe(1);
    await use('the link key', 'another');
    await use('another', 'the link key');
    expect(links()).toBe(2); // one has what is under way
    await use('another');
    expect(links()).toBe(2);
    const quick = call(pair.near.port, { body: 'quick' });
    await until('it is under way', () => calls.length === 2);
    for (const { answer } of calls) answer('done');
    expect(await Promise.all([slow, quick])).toMatchObject([{ text: 'done' }, { text: 'done' }]);
    await until('the first has ended', () => links() === 1);
    const address = { host: '127.0.0.1', port: pair.far.ingress.state.linkPort };
    const asking = { address, nodeId: 'node-a', peerNodeId: 'node-b', tls: null, timeoutMs: 2_000 };
    const ask = async (key: string): Promise<unknown> =>
      await linkRequest({ ...asking, linkKeys: new LiveSecrets(key) }, '/-/logs/Echo/none', '');
    expect(await ask('another')).toMatchObject({ status: 404 });
    await expect(ask('the link key')).rejects.toMatchObject({ code: 'CHANNEL_AUTH' });
  });

  it('that stays behind serves no new request, and ends once it has none', async () => {
    await link(digest);
    await pair.near.connected('Echo-f');
    await pair.far.ingress.useSecrets({ ...pathSecrets(), linkKeys: ['another'] });
    await until('it has ended', () => openTo(pair.far.ingress.state.linkPort) === 0);
  });

  it('stays where no other can be opened', async () => {
    await link(digest);
    await pair.near.connected('Echo-f');
    await pair.near.ingress.useSecrets({ ...pathSecrets(), linkKeys: ['another', 'the link key'] });
    expect((await call(pair.near.port, { body: 'x' })).text).toBe(`1 ${sha256('x')}`);
  });
});
