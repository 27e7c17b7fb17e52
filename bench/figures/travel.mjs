// How packages and models get to where they are needed: a model to one node and to four, and what hashing a package costs.
import { spawn, spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { writeProject } from '../contestants/modelserve.mjs';
import { machinesImpossible, startMachines } from '../lib/machines.mjs';
import { CLI, ROOT } from '../lib/paths.mjs';
import { runToEnd } from '../lib/processes.mjs';
import { section } from './head.mjs';
import { judged } from './row.mjs';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const NODES = 4;
const RATE = '1gbit';
const STEP_MS = 300_000;
const POLL_MS = 10;
const TREE_FILES = 256;
/** A digest is remembered of what has rested for two seconds. */
const REST_MS = 2_500;
/** Each node has a disk of its own; the nodes of this measurement share one machine. */
const MEMORY = '/dev/shm';

/** @param {import('./head.mjs').Context} context */
export async function travel(context) {
  return [...(await modelRows(context)), ...(await treeRows(context))];
}

async function modelRows(context) {
  const row = {
    what: 'a 1 GiB model to four nodes, head link at 1 Gbit/s: time against one node',
    unit: '×',
    atMost: 1.6,
  };
  const impossible = machinesImpossible();
  if (impossible !== null) return [judged({ ...row, values: [], note: impossible })];
  const cluster = await startCluster(context);
  const ratios = [];
  const copies = [];
  const seconds = { one: [], four: [] };
  for (let round = 1; round <= context.rounds; round += 1) {
    const one = await cluster.spread(`one-${round}`, 1);
    const four = await cluster.spread(`four-${round}`, NODES);
    const times = `${one.seconds.toFixed(1)} s to one node, ${four.seconds.toFixed(1)} s to ${NODES}`;
    context.say(`  round ${round}: ${times}; ${four.copies.toFixed(2)} copies left the head for ${NODES}`);
    ratios.push(four.seconds / one.seconds);
    seconds.one.push(one.seconds);
    seconds.four.push(four.seconds);
    copies.push(four.copies);
  }
  const [one, four] = [seconds.one, seconds.four].map((all) => Math.min(...all).toFixed(1));
  const note = `from the recorded revision to the last checked file; best ${one} s and ${four} s; the link alone takes ${((GIB * 8) / 1e9).toFixed(1)} s; encrypted, and all five nodes on this machine`;
  return [
    judged({ ...row, values: ratios, note }),
    judged({
      what: 'a 1 GiB model to four nodes: copies that leave the head',
      ...{
        unit: '×',
        atMost: NODES / 2,
        values: copies,
        note: "bytes on the head's link, all else included",
      },
    }),
  ];
}

/** A head and four workers in network namespaces, each with its state in memory. */
async function startCluster({ workspace }) {
  const { machines, stop } = startMachines(NODES + 1);
  const home = mkdtempSync(join(existsSync(MEMORY) ? MEMORY : workspace.newFolder(), 'modelserve-bench-'));
  const project = join(home, 'project');
  writeProject(project, { package: 'NoOp', conf: ['[MODEL SERVE]'] });
  const [head, ...workers] = machines;
  const nodes = [];
  workspace.own({
    stop: async () => {
      await stopAll(nodes);
      rmSync(home, { recursive: true, force: true });
      await stop();
    },
  });
  const stateDir = join(home, 'head');
  const tokenFile = join(home, 'token');
  const token = ['--token-file', tokenFile];
  const conf = join(project, 'conf.ini');
  const start = async (inside, words, folder, says) =>
    nodes.push(await startNode({ inside, words, stateDir: folder, says }));
  const asHead = ['head', '--conf', conf, '--host', head.address, '--num-gpus', '0'];
  await start(head.inside(), asHead, stateDir, /workers/);
  copyFileSync(join(stateDir, 'token'), tokenFile);
  const states = workers.map((_, index) => join(home, `worker-${index}`));
  for (const [index, machine] of workers.entries()) {
    const words = ['worker', '--address', `${head.address}:6370`, ...token, '--num-gpus', '1'];
    // With what the head has in view, it would be used in place.
    await start(machine.inside([project, stateDir]), words, states[index], /joined/);
  }
  head.shape(RATE);
  return { spread: (name, count) => spread({ name, count, head, project, states, token }) };
}

/** @returns {Promise<{seconds: number, copies: number}>} until so many nodes have a model that none of them had */
async function spread({ name, count, head, project, states, token }) {
  for (const state of states) rmSync(join(state, 'models'), { recursive: true, force: true });
  const model = join(project, 'Model_ZOO', name);
  writeRandom(model, GIB);
  const keys = { backend: 'NoOp', model: name, gpu_cost: 1, min_ready_s: 0 };
  const sections = Array.from({ length: count }, (_, index) =>
    section(`n${index}`, { ...keys, route: `n${index}` }),
  );
  writeProject(project, { package: 'NoOp', conf: sections.flat() });
  const words = [
    ...head.inside().slice(1),
    process.execPath,
    CLI,
    'controller',
    '--conf',
    join(project, 'conf.ini'),
  ];
  const command = spawn('ip', [...words, ...token], { stdio: ['ignore', 'pipe', 'inherit'] });
  const recordedMs = await new Promise((resolve, reject) => {
    command.stdout.on('data', (chunk) => /^Revision/m.test(chunk) && resolve(performance.now()));
    command.once('close', (code) => reject(new Error(`controller ended with ${code}`)));
  });
  const ended = new Promise((resolve) => command.once('close', resolve));
  const sentBefore = head.sentBytes();
  const arrived = () => states.filter((state) => holdsModel(join(state, 'models'))).length;
  while (arrived() < count) {
    if (performance.now() - recordedMs > STEP_MS)
      throw new Error(`${arrived()} of ${count} nodes have the model`);
    await delay(POLL_MS);
  }
  const seconds = (performance.now() - recordedMs) / 1000;
  const copies = (head.sentBytes() - sentBefore) / GIB;
  await ended;
  rmSync(model);
  return { seconds, copies };
}

function holdsModel(folder) {
  return existsSync(folder) && readdirSync(folder).some((name) => /^[0-9a-f]{64}$/.test(name));
}

async function startNode({ inside, words, stateDir, says }) {
  const [program, ...rest] = [...inside, process.execPath, CLI, ...words, '--state-dir', stateDir];
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  await new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        output = `${output}${chunk}`.slice(-64 * 1024);
        if (says.test(output)) resolve(null);
      });
    }
    child.once('close', () => reject(new Error(`${words[0]} ended: ${output}`)));
  });
  return { child, stateDir };
}

async function stopAll(nodes) {
  for (const { child, stateDir } of nodes.splice(0).reverse()) {
    const ended = child.exitCode === null ? new Promise((resolve) => child.once('close', resolve)) : null;
    child.kill('SIGINT');
    await ended;
    await runToEnd(process.execPath, [CLI, 'stop', '--state-dir', stateDir], { timeoutMs: 60_000 });
  }
}

async function treeRows(context) {
  const folder = context.workspace.newFolder();
  const packageDir = join(folder, 'algopkg', 'Large');
  for (let index = 0; index < TREE_FILES; index += 1) {
    const part = join(packageDir, `part${index % 16}`);
    mkdirSync(part, { recursive: true });
    writeRandom(join(part, `${index}.bin`), GIB / TREE_FILES);
  }
  await delay(REST_MS);
  const { snapshotPackage, hashPackage } = await import(join(ROOT, 'dist', 'packages', 'snapshot.js'));
  const source = { packagesDir: join(folder, 'algopkg'), packageName: 'Large' };
  const speeds = { hash: [], bundle: [] };
  const unchangedMs = [];
  for (let round = 1; round <= context.rounds; round += 1) {
    const state = join(folder, `state-${round}`);
    const places = { ...source, snapshotsDir: join(state, 'snapshots'), digestsDir: join(state, 'digests') };
    const command = `find ${packageDir} -type f -print0 | xargs -0 sha256sum > /dev/null`;
    const sumMs = await timed(async () => spawnSync('sh', ['-c', command]));
    speeds.hash.push(
      sumMs / (await timed(() => hashPackage({ ...places, digestsDir: `${places.digestsDir}-0` }))),
    );
    speeds.bundle.push(sumMs / (await timed(() => snapshotPackage(places))));
    unchangedMs.push(await timed(() => snapshotPackage(places)));
    rmSync(state, { recursive: true, force: true });
  }
  const what = `a package tree of 1 GiB in ${TREE_FILES} files`;
  const first = { unit: '×', atLeast: 0.7 };
  return [
    judged({ what: `${what}: unchanged`, unit: 'ms', atMost: 100, values: unchangedMs }),
    judged({ what: `${what}: first hashing against sha256sum`, ...first, values: speeds.hash }),
    judged({
      ...{ what: `${what}: first hashing and snapshot against sha256sum`, ...first, values: speeds.bundle },
      note: 'the snapshot is a copy, written through to the disk',
    }),
  ];
}

async function timed(work) {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

function writeRandom(path, bytes) {
  const chunk = Buffer.allocUnsafe(4 * MIB);
  const file = openSync(path, 'w');
  try {
    for (let written = 0; written < bytes; written += chunk.length) {
      randomFillSync(chunk);
      writeSync(file, chunk, 0, Math.min(chunk.length, bytes - written));
    }
  } finally {
    closeSync(file);
  }
}
