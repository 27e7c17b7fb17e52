import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clusterKeys } from '../../src/config/token.ts';
import { TestHead, TestNode } from './support/cluster.ts';
import { echoSource, Project } from './support/project.ts';
import { CLI } from './support/test-process.ts';

/** Why no replica can be somebody else here: that takes root, and a node and a checkout that others may read. */
function whyNoGuests(): string | null {
  if (process.getuid?.() !== 0) return 'this is not root';
  const script = '[ -r "$1" ] && [ -x "$2" ]';
  const args = ['--reuid=65534', '--clear-groups', '/bin/sh', '-c', script, 'sh', CLI, process.execPath];
  const { status, error } = spawnSync('setpriv', args);
  if (error !== undefined) return 'there is no setpriv';
  return status === 0 ? null : 'this checkout, or node, is closed to other users';
}

const noGuests = whyNoGuests();
if (noGuests !== null) process.stdout.write(`skipped: a replica as another user: ${noGuests}\n`);

const GUEST = `export class Guest {
  async call() {
    const { readFile } = await import('node:fs/promises');
    const state: string = process.env.STATE ?? '';
    const read = async (name: string) => await readFile(state + '/' + name, 'utf8').catch((error) => error.code);
    return { uid: process.getuid?.(), token: await read('token'), leader: await read('revisions/leader.json'), own: process.env.OWN };
  }
}
`;

const DEEP = 200_000;
const nested = `${'['.repeat(DEEP)}${']'.repeat(DEEP)}`;

/** What a server says to bytes that no client of good will sends, until it closes or has said an HTTP head. */
async function say(port: number, bytes: string | Buffer): Promise<string> {
  return await new Promise((resolve, reject) => {
    let heard = '';
    const socket = createConnection(port, '127.0.0.1', () => socket.write(bytes));
    socket.on('data', (chunk) => {
      heard += chunk.toString('latin1');
      if (/\r\n\r\n|^-.*\r\n$/.test(heard)) socket.destroy();
    });
    socket.on('close', () => resolve(heard));
    socket.on('error', (error) => (heard === '' ? reject(error) : resolve(heard)));
    socket.setTimeout(20_000, () => socket.destroy(new Error(`silence after ${JSON.stringify(heard)}`)));
  });
}

const statusIn = (answer: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);

/** All that nodes of a head have written about what they do. */
function logsOf(folder: string): string {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => readFileSync(path, 'utf8'))
    .join('\n');
}

describe('a cluster whose ports are reached by somebody else', () => {
  const project = new Project();
  let head: TestHead;

  beforeAll(async () => {
    project.package('Echo', echoSource());
    const echo = { backend: 'Backend', route: 'echo', min_ready_s: 0.2 };
    const guest = { backend: 'Guest', route: 'guest', min_ready_s: 0.2, run_as: 'nobody' };
    project.write('algopkg/Guest/backend.ts', GUEST);
    chmodSync(project.dir, 0o755); // a replica of another user works there
    const stateDir = mkdtempSync(join(tmpdir(), 'modelserve-state-'));
    const env = { 'env.STATE': stateDir, 'env.OWN': '${OF_THE_NODE}' };
    project.sections(noGuests === null ? { Echo: echo, Guest: { ...guest, ...env } } : { Echo: echo });
    head = await TestHead.start({ conf: project.conf, stateDir, env: { OF_THE_NODE: 'secret' } });
  });

  afterAll(async () => {
    await head?.dispose();
    project.remove();
  });

  const pidServed = async (): Promise<number> => {
    const answer = await fetch(head.url('echo'), { method: 'POST', body: '{}' });
    return ((await answer.json()) as { pid: number }).pid;
  };

  it.skipIf(noGuests !== null)('answers by a replica that is somebody else, and reads no token', async () => {
    const answer = await fetch(head.url('guest'), { method: 'POST', body: '{}' });
    expect(await answer.json()).toEqual({ uid: 65_534, token: 'EACCES', leader: 'EACCES', own: 'secret' });
    const authorization = `Bearer ${clusterKeys(head.token).viewerKey}`;
    const revision = await fetch(`${head.dashboard}api/v1/revisions/1`, { headers: { authorization } });
    expect(await revision.text()).toMatch(/^(?!.*secret).*env\.OWN = \$\{OF_THE_NODE\}/s);
  });

  it('lets no worker join that has another token', async () => {
    const tokenFile = join(project.dir, 'wrong-token');
    writeFileSync(tokenFile, 'mst_somebody-elses', { mode: 0o600 });
    const address = ['--address', `127.0.0.1:${head.storePort}`];
    const worker = new TestNode(['worker', ...address, '--token-file', tokenFile]);
    worker.launch();
    await worker.ended(60_000);
    await worker.dispose();
    expect(worker.exitCode).toBeGreaterThan(0);
    expect(worker.output).toMatch(/password|token/i);
    expect((await head.status()).nodes.length).toBe(1);
  });

  it.each([
    ['nothing before a password', 'PING\r\n', /^-NOAUTH/],
    [
      'no key of another kind',
      (keys: ReturnType<typeof clusterKeys>) => `AUTH ${keys.viewerKey}\r\n`,
      /^-WRONGPASS/,
    ],
    ['no configuration', 'CONFIG SET dir /etc\r\n', /^-NOAUTH/],
    ['no web page', 'POST / HTTP/1.1\r\nHost: x\r\n\r\nFLUSHALL\r\n', /^(?!\+OK)/],
  ])('has a store that does %s', async (_what, command, answer) => {
    const bytes = typeof command === 'string' ? command : command(clusterKeys(head.token));
    expect(await say(head.storePort, bytes)).toMatch(answer);
  });

  it.each([
    [
      'two lengths',
      'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}',
      400,
    ],
    [
      'a length beside chunks',
      'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['a header that goes on', 'GET /echo HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c: d\r\n\r\n', 400],
    ['a NUL', 'GET /echo HTTP/1.1\r\nHost: x\r\nX-A: b\0c\r\n\r\n', 400],
    ['large headers', `GET /echo HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(100_000)}\r\n\r\n`, 431],
    ['a way out', 'GET /../../../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 404],
    [
      'a coded way out',
      'GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
      404,
    ],
    ['no HTTP at all', Buffer.alloc(4_096, 0xff), 400],
  ])('answers %s at the routes’ port with a refusal', async (_what, bytes, status) => {
    for (const port of [head.httpPort, head.adminPort]) {
      const answer = await say(port, bytes);
      expect(answer).not.toContain('root:');
      const isPageFolder = port === head.adminPort && status === 404;
      expect(isPageFolder ? [400, 401, 403, 404] : [status]).toContain(statusIn(answer));
    }
  });

  it('takes no answer header, and no line of a log, from a request', async () => {
    const id = 'a\u001b[31m"},{"level":60,"msg":"forged';
    const path = 'echo/%0d%0aSet-Cookie:%20a=b%0a{"msg":"forged"}?q=%0d%0aX-Forged:%20yes';
    const answer = await fetch(head.url(path), {
      method: 'POST',
      body: '{}',
      headers: { 'x-request-id': encodeURIComponent(id) },
    });
    await answer.text();
    expect(answer.headers.get('set-cookie')).toBeNull();
    expect(answer.headers.get('x-forged')).toBeNull();
    const raw = `GET /nowhere HTTP/1.1\r\nHost: x\r\nX-Request-Id: ${id}\r\nConnection: close\r\n\r\n`;
    expect(await say(head.httpPort, Buffer.from(raw, 'latin1'))).not.toContain('forged');
    const logs = logsOf(join(head.stateDir, 'logs'));
    expect(logs).not.toMatch(/^[^{\n]*"msg":"forged"/m);
    expect(logs).not.toContain('\u001b[31m');
  });

  it('outlives JSON that is deeper than any stack', async () => {
    const pid = await pidServed();
    await fetch(head.url('echo'), { method: 'POST', body: nested }).then((answer) => answer.text());
    expect(await pidServed()).toBe(pid);
    const json = { 'content-type': 'application/json', origin: head.dashboard.slice(0, -1) };
    for (const body of [nested, '{"token":{"__proto__":{"a":1}}}', '{"__proto__":{"token":"x"}}', '"', '']) {
      const answer = await fetch(`${head.dashboard}api/v1/session`, { method: 'POST', headers: json, body });
      expect(answer.status, body.slice(0, 40)).toBe(400);
    }
    const large = `{"token":"${'x'.repeat(2 * 1024 ** 2)}"}`;
    const answer = await fetch(`${head.dashboard}api/v1/session`, {
      method: 'POST',
      headers: json,
      body: large,
    });
    expect(answer.status).toBe(413);
  });

  it.each([
    'assets/../../../package.json',
    'assets/%2e%2e/%2e%2e/%2e%2e/package.json',
    '..%2f..%2f..%2fpackage.json',
    'assets/..%5c..%5cpackage.json',
    'api/v1/logs/..%2f..%2f..%2ftoken',
    'api/v1/logs/%2e%2e?replica=token',
    'api/v1/deployments/__proto__',
    'api/v1/deployments/constructor',
    'api/v1/revisions/..%2f..%2ftoken',
  ])('gives no file by %s, not even to who has the key', async (path) => {
    const key = clusterKeys(head.token).apiKey;
    const request = `GET /${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nConnection: close\r\n\r\n`;
    const answer = await say(head.adminPort, request);
    expect([400, 403, 404]).toContain(statusIn(answer));
    expect(answer).not.toContain('modelserve",');
    expect(answer).not.toContain(head.token);
  });

  it.each([
    ['../../evil', 'a'.repeat(64)],
    ['/etc/cron.d/evil', 'a'.repeat(64)],
    ['algopkg/Echo/../../../evil', 'a'.repeat(64)],
    ['algopkg/Echo/backend.py', '../../../../token'],
    ['algopkg/Echo/back\0end.py', 'a'.repeat(64)],
  ])('takes no upload that names %j with hash %s', async (path, sha256) => {
    const headers = {
      'content-type': 'application/json',
      authorization: `Bearer ${clusterKeys(head.token).apiKey}`,
    };
    const files = [{ path, sizeBytes: 1, sha256, executable: false }];
    const body = JSON.stringify({ files });
    const answer = await fetch(`${head.dashboard}api/v1/uploads`, { method: 'POST', headers, body });
    expect([400, 422]).toContain(answer.status);
    const place = `${head.dashboard}api/v1/uploads/..%2f..%2f/${encodeURIComponent(sha256)}`;
    const put = await fetch(place, {
      method: 'PUT',
      headers: { ...headers, 'content-type': 'application/octet-stream' },
      body: 'x',
    });
    expect([400, 404, 422]).toContain(put.status);
  });

  it('serves on as if nothing had been', async () => {
    expect(await pidServed()).toBeGreaterThan(0);
    expect((await head.status()).deployments[0]).toMatchObject({ status: 'HEALTHY', ready: 1 });
    expect((await head.status()).deployments[0]?.replicas[0]?.restarts).toBe(0);
  });
});
