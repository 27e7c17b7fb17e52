import { mkdirSync, writeFileSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { linkRequest } from '../../src/channel/link-request.ts';
import type { NodeAddress } from '../../src/cluster/routing/types.ts';
import { sha256 } from '../../src/lib/hash.ts';
import { LiveSecrets } from '../../src/lib/live-secrets.ts';
import { LiveTls } from '../../src/lib/tls/live-tls.ts';
import { type NodeTlsFiles, PLAIN_FILES } from '../../src/lib/tls/node-tls.ts';
import { authorityOf, issue, nodeTls, putFiles } from '../support/certificates.ts';
import { pathSecrets } from '../support/secrets.ts';
import { tempDir } from '../support/temp-dir.ts';
import type { FakeCall } from './fake-replica.ts';
import { call, pairOfEachTest, routeOf, type TestNode, until } from './test-node.ts';

const MIB = 1024 * 1024;
/** The near one has no replica of its own unless a test says so. */
const pair = pairOfEachTest();

function digest({ body, answer }: FakeCall): void {
  void body.then((bytes) => answer(`${bytes.length} ${sha256(bytes)}`));
}

function addressOf(node: TestNode): NodeAddress {
  return { nodeId: node.nodeId, host: '127.0.0.1', linkPort: node.ingress.state.linkPort };
}

/** Both nodes by one table: replica `Echo-f` on the far one. */
async function link(
  script: (asked: FakeCall) => void,
  options: { address?: NodeAddress; key?: string; tls?: NodeTlsFiles } = {},
): Promise<void> {
  const { tls = PLAIN_FILES } = options;
  await pair.far.start({ tls });
  await pair.near.start(options.key === undefined ? { tls } : { secrets: pathSecrets(options.key) });
  await pair.far.replica('Echo-f', script);
  const table = {
    nodes: [addressOf(pair.near), options.address ?? addressOf(pair.far)],
  };
  const routes = [routeOf({ endpoints: [{ replicaId: 'Echo-f', nodeId: 'node-b' }] })];
  await pair.far.publish(routes, table);
  await pair.near.publish(routes, table);
}

/** As a node of this cluster shows it to others. */
async function certified(): Promise<NodeTlsFiles> {
  const { certificate } = await authorityOf('mst_test');
  return { nodes: putFiles(tempDir(), await issue('mst_test', 'node'), certificate), clients: null };
}

describe.each([
  ['plain', async () => PLAIN_FILES],
  ['with TLS', certified],
])('a link, %s,', (_name, files) => {
  it('carries requests to the replicas of another node, small and large', async () => {
    await link(digest, { tls: await files() });
    await pair.near.connected('Echo-f');
    for (const bytes of [0, 10, MIB, 7 * MIB + 3]) {
      const body = Buffer.alloc(bytes, 7);
      expect((await call(pair.near.port, { body })).text).toBe(`${bytes} ${sha256(body)}`);
    }
    expect(pair.near.ingress.state).toMatchObject({ inFlight: 0, queued: 0, keptBytes: 0 });
  });

  it('carries large answers under the windows of both ends', async () => {
    const total = 9 * MIB;
    await link(
      (asked) => {
        const pour = async () => {
          asked.stream.respond({ status: 200, headers: [], ok: true }, false);
          for (let sent = 0; sent < total; ) {
            const bytes = Math.min(asked.stream.sendableBytes, 64 * 1024, total - sent);
            if (bytes === 0) await asked.nextWindow();
            else {
              sent += bytes;
              asked.stream.write(Buffer.alloc(bytes, 120), sent === total);
            }
          }
        };
        void pour();
      },
      { tls: await files() },
    );
    await pair.near.connected('Echo-f');
    expect((await call(pair.near.port)).text.length).toBe(total);
  });
});

describe('a link with TLS', () => {
  it('is refused to whoever shows no certificate of the cluster, or expects another', async () => {
    await pair.far.start({ tls: await certified() });
    const address = { host: '127.0.0.1', port: pair.far.ingress.state.linkPort };
    const whole = {
      address,
      nodeId: 'node-a',
      peerNodeId: 'node-b',
      linkKeys: new LiveSecrets('the link key'),
      timeoutMs: 5_000,
    };
    const ask = async (tls: LiveTls | null) => await linkRequest({ ...whole, tls }, '/-/logs/Echo/x', '');
    expect((await ask(await nodeTls(tempDir(), 'mst_test'))).status).toBe(404);
    await expect(ask(null)).rejects.toMatchObject({ data: { code: /^CHANNEL_(CONNECT|PROTOCOL)$/ } });
    await expect(ask(await nodeTls(tempDir(), 'mst_other'))).rejects.toMatchObject({
      data: { code: 'CHANNEL_AUTH' },
      message: expect.stringContaining('no certificate of this cluster'),
    });
    // it trusts the far node, and shows what the far node does not trust
    const { certificate } = await authorityOf('mst_test');
    const liar = await LiveTls.open(putFiles(tempDir(), await issue('mst_other', 'liar'), certificate));
    await expect(ask(liar)).rejects.toMatchObject({ data: { code: 'CHANNEL_CONNECT' } });
  });
});

describe('a link', () => {
  it('is used only when no replica of this node has room', async () => {
    const calls: FakeCall[] = [];
    await link(({ answer }) => answer('far'));
    await pair.near.replica('Echo-n', (asked) => void calls.push(asked), { maxOngoing: 2 });
    const both = [
      { replicaId: 'Echo-f', nodeId: 'node-b' },
      { replicaId: 'Echo-n', nodeId: 'node-a' },
    ];
    await pair.near.publish([routeOf({ endpoints: both })], { nodes: [addressOf(pair.far)] });
    await pair.near.connected('Echo-f', 'Echo-n');
    const first = [call(pair.near.port), call(pair.near.port)];
    await until('both are on this node', () => calls.length === 2);
    expect((await call(pair.near.port)).text).toBe('far');
    for (const asked of calls) asked.answer('near');
    expect((await Promise.all(first)).map(({ text }) => text)).toEqual(['near', 'near']);
  });

  it('tells at once what is ready at the far end', async () => {
    await link(digest);
    await pair.near.connected('Echo-f');
    pair.far.replicas.get('Echo-f')?.become('draining');
    await until('it is not ready here', () => pair.near.ingress.state.deployments[0]?.ready === 0);
    pair.far.replicas.get('Echo-f')?.become('ready');
    await until('it is ready here', () => pair.near.ingress.state.deployments[0]?.ready === 1);
    expect((await call(pair.near.port, { body: 'x' })).status).toBe(200);
  });

  it('passes on refusals, cancels and deaths', async () => {
    let seen = 0;
    let cancelled = false;
    await link((asked) => {
      seen += 1;
      if (seen === 1) asked.stream.refuse('full');
      else if (seen === 2) digest(asked);
      else if (seen === 3) void pair.far.replicas.get('Echo-f')?.die();
      else {
        void asked.cancelled.then(() => {
          cancelled = true;
        });
      }
    });
    await pair.near.connected('Echo-f');
    expect((await call(pair.near.port, { body: 'refused once' })).text).toContain('12 ');
    expect(seen).toBe(2);
    const answer = call(pair.near.port, { body: 'survives' });
    await until('it waits for another', () => pair.near.ingress.state.queued === 1);
    await pair.far.replica('Echo-f', digest);
    expect((await answer).text).toContain('8 ');
    const hangsUp = new AbortController();
    pair.far.replicas.get('Echo-f')?.become('draining');
    await until('gone', () => pair.near.ingress.state.deployments[0]?.ready === 0);
    await pair.far.replicas.get('Echo-f')?.die();
    await pair.far.replica('Echo-f', (asked) => {
      void asked.cancelled.then(() => {
        cancelled = true;
      });
    });
    await until('back', () => pair.near.ingress.state.deployments[0]?.ready === 1);
    const left = call(pair.near.port, { body: 'x', signal: hangsUp.signal }).catch(() => {});
    await until('it is there', () => pair.far.replicas.get('Echo-f')?.ongoing === 1);
    hangsUp.abort();
    await left;
    await until('the replica heard of it', () => cancelled);
  });

  it('that breaks counts as a death: its requests go to another replica', async () => {
    await link(() => {});
    await pair.near.connected('Echo-f');
    const answer = call(pair.near.port, { body: 'moves' });
    await until('it is there', () => pair.far.replicas.get('Echo-f')?.ongoing === 1);
    await pair.near.replica('Echo-n', digest);
    await pair.near.publish(
      [
        routeOf({
          endpoints: [
            { replicaId: 'Echo-n', nodeId: 'node-a' },
            { replicaId: 'Echo-f', nodeId: 'node-b' },
          ],
        }),
      ],
      { nodes: [addressOf(pair.far)] },
    );
    await pair.far.ingress.stop();
    expect((await answer).text).toContain('5 ');
    await until('the far replica heard of it', () => pair.far.replicas.get('Echo-f')?.ongoing === 0);
  });

  it('that breaks and comes back costs a request nothing, though there is no other replica', async () => {
    const relay = await Relay.start();
    pair.near.onClose(() => relay.close());
    let seen = 0;
    const second = (asked: FakeCall) => {
      seen += 1;
      if (seen > 1) digest(asked);
    };
    await link(second, { address: { nodeId: 'node-b', host: '127.0.0.1', linkPort: relay.ownPort } });
    relay.port = pair.far.ingress.state.linkPort;
    await pair.near.connected('Echo-f');
    const answer = call(pair.near.port, { body: 'again' });
    await until('it is there', () => seen === 1);
    relay.cut();
    expect((await answer).text).toContain('5 ');
  });

  it('to a silent node is broken, long before TCP would', async () => {
    const relay = await Relay.start();
    pair.near.onClose(() => relay.close());
    await link(() => {}, { address: { nodeId: 'node-b', host: '127.0.0.1', linkPort: relay.ownPort } });
    relay.port = pair.far.ingress.state.linkPort;
    await pair.near.connected('Echo-f');
    relay.swallow();
    await until('it is given up', () => pair.near.ingress.state.deployments[0]?.ready === 0, 20_000);
  });

  it('is refused to who does not hold the key', async () => {
    await link(digest, { key: 'another key' });
    const answer = await call(pair.near.port, { headers: { 'x-request-timeout-seconds': '0.3' } });
    expect(answer.status).toBe(504);
    expect(pair.near.ingress.state.deployments[0]?.ready).toBe(0);
    expect(pair.far.replicas.get('Echo-f')?.begun).toBe(0);
  });

  it('takes no request from a connector that has not proved the key', async () => {
    await link(digest);
    const socket = createConnection(pair.far.ingress.state.linkPort, '127.0.0.1');
    const head = Buffer.from(
      JSON.stringify({ id: 'x', replica: 'Echo-f', method: 'GET', path: '/', headers: [] }),
    );
    const frame = Buffer.alloc(10);
    frame.writeUInt32BE(head.length, 0);
    frame.writeUInt8(2, 4);
    frame.writeUInt8(1, 5);
    frame.writeUInt32BE(1, 6);
    socket.write(Buffer.concat([frame, head]));
    await new Promise((resolve) => socket.once('close', resolve));
    expect(pair.far.replicas.get('Echo-f')?.begun).toBe(0);
  });

  it('never goes on to a third node', async () => {
    await link(digest);
    await pair.near.connected('Echo-f');
    // the far node's table says that the replica is on the near one: it must refuse, not send it back
    await pair.far.publish([routeOf({ endpoints: [{ replicaId: 'Echo-f', nodeId: 'node-a' }] })], {
      nodes: [addressOf(pair.near)],
    });
    const answer = await call(pair.near.port, { headers: { 'x-request-timeout-seconds': '0.3' } });
    expect(answer.status).toBe(504);
  });
});

describe('the log of a far replica', () => {
  const options = () => ({
    address: { host: '127.0.0.1', port: pair.far.ingress.state.linkPort },
    nodeId: 'node-a',
    peerNodeId: 'node-b',
    linkKeys: new LiveSecrets('the link key'),
    tls: null,
    timeoutMs: 2_000,
  });

  it('is read over a link, followed, and ended', async () => {
    await pair.far.start();
    const folder = join(pair.far.paths.replicaLogs, 'Echo');
    mkdirSync(folder, { recursive: true });
    const file = join(folder, 'Echo-f.log');
    writeFileSync(file, 'one\ntwo\nthree\n');
    const whole = await linkRequest(options(), '/-/logs/Echo/Echo-f', 'lines=2');
    expect(whole.status).toBe(200);
    expect(Buffer.concat(await whole.body.toArray()).toString()).toBe('two\nthree\n');
    const followed = await linkRequest(options(), '/-/logs/Echo/Echo-f', 'lines=1&follow=1');
    let text = '';
    followed.body.on('data', (chunk) => {
      text += String(chunk);
    });
    await until('its last line', () => text === 'three\n');
    writeFileSync(file, 'four\n', { flag: 'a' });
    await until('what was appended', () => text === 'three\nfour\n');
    followed.body.destroy();
    const large = Buffer.alloc(5 * MIB, 'abcdefg\n');
    writeFileSync(file, large);
    const all = await linkRequest(options(), '/-/logs/Echo/Echo-f', 'lines=100000');
    const received = Buffer.concat(await all.body.toArray());
    expect(received.length).toBe(100_000 * 8);
  });

  it.each([
    ['/-/logs/Echo/none', 404],
    ['/-/logs/../secret', 404],
    ['/-/logs/Echo', 404],
  ])('%s is %i', async (path, status) => {
    await pair.far.start();
    const answer = await linkRequest(options(), path, '');
    answer.body.destroy();
    expect(answer.status).toBe(status);
  });

  it('needs the key', async () => {
    await pair.far.start();
    await expect(
      linkRequest({ ...options(), linkKeys: new LiveSecrets('wrong') }, '/-/logs/Echo/x', ''),
    ).rejects.toMatchObject({
      code: 'CHANNEL_AUTH',
    });
  });
});

/** Passes TCP on until it is told to swallow: a partition, in which nothing is reset. */
class Relay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  port = 0;
  ownPort = 0;
  #isSwallowing = false;

  private constructor() {
    this.#server = createServer((from) => {
      const to = createConnection(this.port, '127.0.0.1');
      for (const [left, right] of [
        [from, to],
        [to, from],
      ] as const) {
        this.#sockets.add(left);
        left.on('data', (chunk) => {
          if (!this.#isSwallowing) right.write(chunk);
        });
        left.on('error', () => {});
        left.on('close', () => {
          if (!this.#isSwallowing) right.destroy();
        });
      }
    });
  }

  static async start(): Promise<Relay> {
    const relay = new Relay();
    relay.ownPort = await new Promise((resolve) => {
      relay.#server.listen(0, '127.0.0.1', () => {
        const address = relay.#server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : 0);
      });
    });
    return relay;
  }

  /** Resets what is connected now. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  swallow(): void {
    this.#isSwallowing = true;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
