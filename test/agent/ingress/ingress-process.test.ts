import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import type { IngressState } from '../../../src/agent/ingress/ingress-client.ts';
import { IngressProcess } from '../../../src/agent/ingress/ingress-process.ts';
import type { IngressLaunch } from '../../../src/config/ingress-launch.ts';
import { ingressSocket, type StatePaths, statePaths } from '../../../src/config/paths.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { identityOf, isRunning } from '../../../src/lib/process/identity.ts';
import { PLAIN_FILES } from '../../../src/lib/tls/node-tls.ts';
import { pathSecrets } from '../../support/secrets.ts';
import { tempDir } from '../../support/temp-dir.ts';

const SOON = { timeout: 10_000, interval: 20 };
const ENTRY = fileURLToPath(new URL('../fixtures/fake-ingress.mjs', import.meta.url));

function place(): StatePaths {
  const root = tempDir();
  return { ...statePaths(root), sockets: join(root, 's') };
}

function ingress(
  paths: StatePaths,
  over: { fake?: object; launch?: Partial<IngressLaunch>; onMoved?: (state: IngressState) => void } = {},
): IngressProcess {
  const process_ = new IngressProcess(
    {
      entry: ENTRY,
      nodePath: process.execPath,
      env: { FAKE_INGRESS: JSON.stringify(over.fake ?? {}), FAKE_SOCKET: ingressSocket(paths.sockets) },
      paths,
      launch: {
        nodeId: 'n1',
        host: '127.0.0.1',
        httpPort: null,
        httpPortFixed: false,
        linkPort: 0,
        stateDir: paths.root,
        store: null,
        secrets: { ...pathSecrets(), storePasswords: ['p'] },
        tls: PLAIN_FILES,
        clusterId: 'c',
        version: '1',
        tracing: null,
        ...over.launch,
      },
    },
    { log: silentLog, onMoved: over.onMoved ?? (() => undefined), onCasualty: () => undefined },
  );
  onTestFinished(() => process_.stop());
  return process_;
}

const journal = (paths: StatePaths): string[] =>
  readFileSync(join(paths.root, 'ingress-journal'), 'utf8').trimEnd().split('\n');

test('starts it with a launch file that only its user can read, and ends it', async () => {
  const paths = place();
  const running = ingress(paths);
  const state = await running.start();
  expect(state).toMatchObject({ nodeId: 'n1', httpPort: 8000, linkPort: 40_000 });
  const launch = join(paths.stage, 'ingress-launch.json');
  expect(statSync(launch).mode & 0o777).toBe(0o600);
  const identity = identityOf(state.pid);
  await running.drain(100);
  await running.stop();
  await running.stop();
  expect(identity && isRunning(identity)).toBe(false);
  expect(journal(paths)).toEqual(['start link=0', '/drain {"graceMs":100}', '/stop {}']);
  expect([launch, ingressSocket(paths.sockets)].filter(existsSync)).toEqual([]);
});

test('starts it again at once when it dies, on the same link port', async () => {
  const paths = place();
  const running = ingress(paths);
  const { pid } = await running.start();
  process.kill(pid, 'SIGKILL');
  await expect.poll(() => running.state?.pid, SOON).not.toBe(pid);
  expect(journal(paths)).toEqual(['start link=0', 'start link=40000']);
});

test('adopts one that runs, and notices its end though it is no child', async () => {
  const paths = place();
  const first = ingress(paths);
  const { pid } = await first.start();
  first.leave();
  const second = ingress(paths);
  expect((await second.start()).pid).toBe(pid);
  process.kill(pid, 'SIGKILL');
  await expect.poll(() => second.state?.pid, SOON).not.toBe(pid);
});

test.each<[string, Partial<IngressLaunch>]>([
  ['of another version', { version: '2' }],
  ['that listens on another address', { host: '127.0.0.2' }],
  ['with another port of its own', { httpPort: 9000, httpPortFixed: true }],
  ['that asks another store', { store: { url: 'redis://127.0.0.1:6371', isOwn: false, tls: false } }],
])('replaces one %s, after what it has in flight', async (_, launch) => {
  const paths = place();
  const first = ingress(paths);
  const { pid } = await first.start();
  first.leave();
  const state = await ingress(paths, { launch }).start();
  expect(state.pid).not.toBe(pid);
  expect(journal(paths).slice(1, 3)).toEqual(['/drain {"graceMs":10000}', '/stop {}']);
});

test('adopts one whose port was meant to follow the routing table, whatever it is now', async () => {
  const paths = place();
  const first = ingress(paths, { launch: { httpPort: 8000 } });
  const { pid } = await first.start();
  first.leave();
  expect((await ingress(paths, { launch: { httpPort: 8001 } }).start()).pid).toBe(pid);
});

test('replaces one that does not answer any more', async () => {
  const paths = place();
  const first = ingress(paths);
  const { pid } = await first.start();
  first.leave();
  process.kill(pid, 'SIGSTOP');
  const stopped = identityOf(pid);
  expect((await ingress(paths).start()).pid).not.toBe(pid);
  expect(stopped && isRunning(stopped)).toBe(false);
});

test('says why it does not start', async () => {
  const running = ingress(place(), { fake: { failStart: 'port 8000 is taken by nginx (pid 7)' } });
  await expect(running.start()).rejects.toThrow(/port 8000 is taken by nginx/);
});

test('waits until it has started, though it answers before', async () => {
  const running = ingress(place(), { fake: { startedAfterMs: 400 } });
  expect(await running.start()).toMatchObject({ started: true });
});

test('tells when it listens elsewhere', async () => {
  const paths = place();
  const moves: (number | null)[] = [];
  const running = ingress(paths, { onMoved: ({ httpPort }) => moves.push(httpPort) });
  await running.start();
  await running.refresh();
  writeFileSync(join(paths.root, 'http-port'), '9000');
  await running.refresh();
  expect(moves).toEqual([9000]);
});
