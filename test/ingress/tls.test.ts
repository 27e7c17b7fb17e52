import { once } from 'node:events';
import https from 'node:https';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../src/lib/hash.ts';
import type { NodeTlsFiles } from '../../src/lib/tls/node-tls.ts';
import { authorityOf, issue, putFiles } from '../support/certificates.ts';
import { tempDir } from '../support/temp-dir.ts';
import { eachWithHelpers } from './ingress-programs.ts';
import { call, TestNode, until } from './test-node.ts';

const MIB = 1024 * 1024;
const SOON_MS = 60_000;
const { certificate } = await authorityOf('mst_test');
let node: TestNode;

eachWithHelpers((made) => {
  node = made;
});

async function shown(): Promise<NodeTlsFiles> {
  return { nodes: null, clients: putFiles(tempDir(), await issue('mst_test', 'front')) };
}

async function ask(agent: https.Agent, path: string, body = Buffer.alloc(0)): Promise<string> {
  return await new Promise((resolve, reject) => {
    const method = body.length === 0 ? 'GET' : 'POST';
    const sent = https.request({ host: '127.0.0.1', port: node.port, path, method, agent }, (answer) =>
      text(answer).then(resolve, reject),
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

function client(): https.Agent {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ca: certificate });
  node.onClose(() => agent.destroy());
  return agent;
}

describe('HTTP with TLS', () => {
  it('is spoken by each process of the ingress, small and large', async () => {
    await node.start({ tls: await shown() });
    await node.serve(
      {
        'Echo-1': ({ body, head, answer }) =>
          void body.then((bytes) => answer(`${head.scheme} ${bytes.length} ${sha256(bytes)}`)),
      },
      { table: { ingressProcesses: 2 } },
    );
    const serving = () => node.ingress.state.processes.filter(({ phase }) => phase !== 'starting');
    await until('a helper serves', () => serving().length === 2, SOON_MS);
    const clients = Array.from({ length: 6 }, client);
    const pids = await Promise.all(
      clients.map(async (agent) => JSON.parse(await ask(agent, '/-/healthz')).pid),
    );
    expect(new Set(pids)).toEqual(new Set(serving().map(({ pid }) => pid)));
    for (const bytes of [0, 10, 5 * MIB + 3]) {
      const body = Buffer.alloc(bytes, 7);
      const answers = await Promise.all(clients.map((agent) => ask(agent, '/echo', body)));
      expect(new Set(answers)).toEqual(new Set([`https ${bytes} ${sha256(body)}`]));
    }
  });

  it('tells a plain client what it speaks, and another ingress whose it is', async () => {
    await node.start({ tls: await shown() });
    const answer = await call(node.port);
    expect(answer).toMatchObject({ status: 400, headers: { 'x-modelserve-cluster': 'test' } });
    expect(answer.json()).toMatchObject({ status: 0, code: 'TLS_REQUIRED' });
    const other = new TestNode('node-b');
    try {
      await other.start({ httpPort: node.port });
      expect(other.port).not.toBe(node.port);
    } finally {
      await other.close();
    }
  });

  it('waits for nobody who does not shake hands when it ends', async () => {
    await node.start({ tls: await shown() });
    const silent = connect({ host: '127.0.0.1', port: node.port });
    const begun = connect({ host: '127.0.0.1', port: node.port });
    begun.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00]));
    await until('both are there', () => node.ingress.state.connections === 2);
    const closed = [silent, begun].map((socket) =>
      once(
        socket.resume().on('error', () => {}),
        'close',
      ),
    );
    await node.ingress.stop();
    await Promise.all(closed);
    expect(node.ingress.state.connections).toBe(0);
  });
});
