import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { programOnPort } from '../../src/lib/ports.ts';
import { runCommand } from '../../src/lib/process/command.ts';
import { authorityOf, issue, putFiles } from '../support/certificates.ts';
import { tempDir } from '../support/temp-dir.ts';
import { freePorts, modelserve, TestHead, type TestNode } from './support/cluster.ts';
import { processesWith } from './support/processes.ts';
import { echoSource, Project } from './support/project.ts';
import { ROOT } from './support/test-process.ts';
import { until } from './support/until.ts';

const GIVEN = 'mst_given';

/** The first byte of what TLS answers to what is none. */
const ALERT = 0x15;
/** What a client says and hears; it stops listening when the server has been silent for so long. */
const SILENCE_MS = 500;

/** Listens where a store would, and answers each client as one does that speaks TLS. @returns also what it was told */
async function storeWithTls() {
  const told: string[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      told.push(String(chunk));
      socket.end('-TLSREQUIRED this store speaks TLS\r\n');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, told, port: (server.address() as AddressInfo).port };
}

/** The ports that processes of this node listen on. */
function portsOf({ stateDir }: TestNode): readonly number[] {
  const pids = new Set(processesWith(stateDir).map(({ pid }) => pid));
  const rows = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) =>
    readFileSync(table, 'utf8').split('\n'),
  );
  const listening = rows.map((row) => row.trim().split(/\s+/)).filter((fields) => fields[3] === '0A');
  const ports = new Set(listening.map((fields) => Number.parseInt(fields[1]?.split(':')[1] ?? '0', 16)));
  return [...ports].filter((port) => pids.has(programOnPort(port)?.pid ?? -1));
}

/** All that a server says to these words, until it ends the connection or is silent. */
async function heard(port: number, words: string, tls: { cert: string; key: string } | object | null) {
  const options = { host: '127.0.0.1', port };
  const socket =
    tls === null ? connect(options) : connectTls({ ...options, ...tls, rejectUnauthorized: false });
  const over = new AbortController();
  let said = '';
  socket.on('error', () => {});
  socket.once('close', () => over.abort());
  socket.on('data', (chunk: Buffer) => {
    said += chunk.toString('latin1');
  });
  socket.write(words);
  await delay(SILENCE_MS, undefined, { signal: over.signal }).catch(() => undefined);
  socket.destroy();
  return said;
}

async function curl(...args: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
  return await new Promise((resolve) => {
    execFile('curl', ['-sS', '--max-time', '20', ...args], (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), output: stdout + stderr }),
    );
  });
}

describe('a cluster with TLS', () => {
  const project = new Project();
  const certificates = join(project.dir, 'certificates');
  let head: TestHead;
  let worker: TestNode;
  let workerUrl = '';

  beforeAll(async () => {
    mkdirSync(certificates);
    putFiles(certificates, await issue(GIVEN, 'first'), (await authorityOf(GIVEN)).certificate);
    project.package('Echo', echoSource());
    // The only GPU is on the worker, so what the head is asked goes over a link.
    project.sections({ Echo: { backend: 'Backend', route: 'echo', gpu_cost: 1, min_ready_s: 0.3 } });
    const given = ['--tls-cert', join(certificates, 'cert.pem'), '--tls-key', join(certificates, 'key.pem')];
    head = await TestHead.start({ conf: project.conf, args: ['--num-gpus', '0', ...given] });
    const [port] = await freePorts(1);
    worker = head.worker(['--tls', '--num-gpus', '1', '--http-port', String(port)]);
    worker.launch();
    await worker.says(/joined the cluster; requests are answered at https:/);
    workerUrl = `https://127.0.0.1:${port}/echo`;
    await until('a replica', async () =>
      (await curl('--cacert', trusted(head), headUrl())).output.includes('v1'),
    );
  }, 120_000);

  afterAll(async () => {
    await worker?.dispose();
    await head?.dispose();
    project.remove();
  });

  function headUrl(): string {
    return `https://localhost:${head.httpPort}/echo`;
  }

  /** the authority that clients of a node know */
  function trusted(node: TestNode): string {
    return node === head ? join(certificates, 'ca.pem') : join(node.stateDir, 'tls', 'ca.pem');
  }

  it('answers clients that trust it, also for replicas of another node', async () => {
    expect(await curl('--cacert', trusted(worker), workerUrl)).toMatchObject({ code: 0, output: /v1/ });
    expect(await curl('--cacert', trusted(head), headUrl())).toMatchObject({ code: 0, output: /v1/ });
    // 60: the certificate is of nobody who is trusted
    for (const args of [
      [workerUrl],
      ['--cacert', trusted(worker), headUrl()],
      ['--cacert', trusted(head), workerUrl],
    ])
      expect((await curl(...args)).code, args.join(' ')).toBe(60);
    expect((await curl('--cacert', trusted(head), '--tls-max', '1.1', headUrl())).code).toBe(35);
  });

  it('is well to the health check of a container, which knows neither address nor authority', async () => {
    const script = join(ROOT, 'docker/healthcheck.mjs');
    for (const port of [String(head.httpPort), new URL(workerUrl).port])
      expect(
        await runCommand(process.execPath, [script, port], { timeoutMs: 20_000, env: {} }),
      ).toMatchObject({
        exitCode: 0,
      });
  });

  it('says nothing on any port to a plain client, nor between nodes to one without its certificate', async () => {
    // The worker names the head's token file, so its ports are found for both.
    const ports = new Set([...portsOf(head), ...portsOf(worker)]);
    expect([...ports], 'store, admin API, and HTTP, links and content of two nodes').toHaveLength(8);
    const open = new Set([head.adminPort, head.httpPort, Number(new URL(workerUrl).port)]);
    const stranger = await issue('mst_stranger', 'modelserve node n-1');
    for (const port of ports) {
      const plain = await heard(port, 'GET /-/healthz HTTP/1.1\r\nhost: a\r\n\r\n', null);
      const isRefusal = plain === '' || plain.includes('speaks TLS') || plain.charCodeAt(0) === ALERT;
      expect(isRefusal, `port ${port}: ${plain}`).toBe(true);
      if (open.has(port)) continue;
      const words = 'GET /content/x/manifest HTTP/1.1\r\nhost: a\r\n\r\n';
      expect(await heard(port, words, {}), `port ${port}, no certificate`).toBe('');
      expect(await heard(port, words, stranger), `port ${port}, certificate of another cluster`).toBe('');
    }
  });

  it('is found by commands: on this machine by itself, elsewhere by address and authority', async () => {
    const address = `https://127.0.0.1:${head.adminPort}`;
    const tokenFile = join(head.stateDir, 'token');
    const ca = ['--ca', trusted(head)];
    const far = ['status', '--address', address, '--token-file', tokenFile];
    expect(await modelserve([...far, ...ca])).toMatchObject({ code: 0, stdout: /Echo.*HEALTHY/ });
    expect(await modelserve(far)).toMatchObject({ code: 4, stderr: /is not trusted .* --ca FILE/s });
    const plain = ['status', '--address', `127.0.0.1:${head.adminPort}`, '--token-file', tokenFile];
    expect(await modelserve(plain)).toMatchObject({ stderr: new RegExp(`give --address ${address}`) });
    const near = { env: { MODELSERVE_STATE_DIR: head.stateDir, MODELSERVE_CA: trusted(head) } };
    expect(await modelserve(['call', 'echo'], near)).toMatchObject({ code: 0, stdout: /v1/ });
    expect(await modelserve(['logs', 'Echo'], near)).toMatchObject({ code: 0 });
  });

  it('keeps the login of the dashboard from plain connections, and tries routes from there', async () => {
    const origin = `https://localhost:${head.adminPort}`;
    const ask = async (path: string, body: object, ...args: readonly string[]): Promise<string> => {
      const said = ['-i', '-H', 'content-type: application/json', '-d', JSON.stringify(body), ...args];
      return (await curl('--cacert', trusted(head), ...said, `${origin}/api/v1/${path}`)).output;
    };
    const login = await ask('session', { token: head.token }, '-H', `origin: ${origin}`);
    expect(login).toMatch(/set-cookie: .*HttpOnly.*; Secure/i);
    const { stdout: key } = await modelserve(['key', 'api', '--token', head.token]);
    const tried = await ask('try/Echo', { method: 'GET' }, '-H', `authorization: Bearer ${key.trim()}`);
    expect(tried).toContain('"httpStatus":200');
  });

  it('shows a certificate that was replaced on disk to the next client', async () => {
    const ca = (await authorityOf(GIVEN)).certificate;
    const shownAt = async (port: number): Promise<string> =>
      await new Promise((resolve, reject) => {
        const socket = connectTls({ host: '127.0.0.1', port, ca }, () => {
          resolve(String(socket.getPeerCertificate().subject.CN));
          socket.destroy();
        });
        socket.on('error', reject);
      });
    expect(await shownAt(head.httpPort)).toBe('first');
    const { pid } = head;
    putFiles(certificates, await issue(GIVEN, 'second'));
    await until('HTTP', async () => (await shownAt(head.httpPort)) === 'second');
    await until('the admin API', async () => (await shownAt(head.adminPort)) === 'second');
    expect(head.pid).toBe(pid);
    expect((await curl('--cacert', trusted(head), headUrl())).code).toBe(0);
  });

  it('lets no worker join that has another token, or does not speak TLS', async () => {
    const joining = async (...args: readonly string[]): Promise<{ code: number | null; stderr: string }> => {
      const stateDir = join(project.dir, `worker-${args.length}`);
      const address = `127.0.0.1:${head.storePort}`;
      return await modelserve(['worker', '--address', address, '--state-dir', stateDir, ...args]);
    };
    expect(await joining('--token', 'mst_wrong', '--tls')).toMatchObject({
      code: 4,
      stderr: /no certificate of this node's cluster/,
    });
    expect(await joining('--token', head.token)).toMatchObject({
      code: 4,
      stderr: /start it with --tls nodes/,
    });
  });

  it('is not started with a certificate that cannot be used', async () => {
    const [port = 0, adminPort = 0] = await freePorts(2);
    const other = join(project.dir, 'other-key.pem');
    writeFileSync(other, (await issue(GIVEN, 'other')).key);
    const start = async (...args: readonly string[]): Promise<{ code: number | null; stderr: string }> =>
      await modelserve([
        ...['head', '--port', String(port), '--dashboard-port', String(adminPort)],
        ...['--state-dir', join(project.dir, 'head'), ...args],
      ]);
    const cert = join(certificates, 'cert.pem');
    const mixed = await start('--tls-cert', cert, '--tls-key', other);
    expect(mixed).toMatchObject({ stderr: /the key in .*other-key\.pem is not that of the certificate/ });
    expect(mixed.code).not.toBe(0);
    expect(await start('--tls-cert', cert)).toMatchObject({ code: 2, stderr: /--tls-key together/ });
    expect(await start('--tls', 'some')).toMatchObject({ code: 2, stderr: /expected all, nodes, off/ });
  });
});

it('a plain worker says no password in clear to a store that speaks TLS', async () => {
  const { server, told, port } = await storeWithTls();
  const stateDir = tempDir();
  const joined = await modelserve([
    ...['worker', '--address', `127.0.0.1:${port}`, '--tls', 'off'],
    ...['--token', 'mst_ours', '--state-dir', stateDir],
  ]);
  server.close();
  expect(joined).toMatchObject({ code: 4, stderr: /speaks TLS, and this node does not: .*--tls nodes/ });
  expect(told).not.toEqual([]);
  expect(told.join('')).not.toMatch(/auth|msr_/i);
});
