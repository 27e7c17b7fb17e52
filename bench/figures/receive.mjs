// How fast a model comes from a web server or an object store, beside a C program, curl and the AWS SDK: nginx on loopback,
// so that nothing but the receiver is slow. What a disk would do to it, memory keeps out.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { startNginx } from '../lib/nginx.mjs';
import { nodePackages } from '../lib/node-packages.mjs';
import { ROOT } from '../lib/paths.mjs';
import { runToEnd } from '../lib/processes.mjs';
import { judged } from './row.mjs';

const MIB = 1024 ** 2;
const SIZE = 2 * 1024 * MIB;
const CHUNK = 8 * MIB;
const CONNECTIONS = 8;
const SDK = '@aws-sdk/client-s3@3.1169.0';
const MEMORY = '/dev/shm';
const STEP_MS = 120_000;
const PROGRAMS = join(ROOT, 'bench', 'programs');
/** Of the bucket `b`; the small one is for what is done only once in the life of a process. */
const [SMALL, LARGE] = ['warm.bin', 'm.bin'];

const ROWS = [
  { name: 'memory', what: 'a 2 GiB file into memory, against a C program', atLeast: 0.9 },
  { name: 'file', what: 'a 2 GiB file into a file in memory, against a C program', atLeast: 0.8 },
  {
    ...{ name: 'checked', what: 'a 2 GiB file into a file in memory, SHA-256 included, against a C program' },
    atLeast: 0.7,
  },
  {
    name: 'curl',
    what: 'a 2 GiB file into a file in memory, against curl with one connection',
    atLeast: 1.3,
  },
  {
    ...{
      name: 'sdk',
      what: 'a 2 GiB object into a file in memory, against GetObject of the AWS SDK for Node',
    },
    atLeast: 2.5,
  },
];

/** @param {import('./head.mjs').Context} context */
export async function receive(context) {
  const folder = context.workspace.newFolder(MEMORY);
  const program = join(folder, 'ranged-read');
  const source = join(PROGRAMS, 'native', 'ranged-read.c');
  const built = await runToEnd('cc', ['-O2', '-pthread', '-o', program, source], { timeoutMs: STEP_MS });
  if (built.code !== 0) return missing(`cc does not make the C program: ${built.output.trim()}`);
  const port = await serve(context.workspace, folder);
  if (port === null) return missing('nginx does not start');
  const sdk = await nodePackages({ name: 'aws-sdk', packages: [SDK] });
  if ('skipped' in sdk) context.say(`receive: without the AWS SDK: ${sdk.skipped}`);
  const ratios = { memory: [], file: [], checked: [], curl: [], sdk: [] };
  for (let round = 1; round <= context.rounds; round += 1) {
    const one = await measureOnce({ folder, program, port, modules: 'skipped' in sdk ? null : sdk.modules });
    const shown = Object.entries(one).map(([name, seconds]) => `${name} ${seconds.toFixed(2)} s`);
    context.say(`  round ${round}: ${shown.join(', ')}`);
    ratios.memory.push(one.cMemory / one.memory);
    ratios.file.push(one.cFile / one.file);
    ratios.checked.push(one.cFile / one.checked);
    ratios.curl.push(one.curl / one.file);
    if (one.sdk !== undefined) ratios.sdk.push(one.sdk / one.object);
  }
  const note = `nginx with sendfile on loopback, ${CONNECTIONS} connections, ranges of 8 MiB`;
  const notes = {
    checked: `${note}; all that an apply does with a model, which then is kept`,
    sdk: `${note}; ${SDK}`,
  };
  return ROWS.map(({ name, ...row }) =>
    judged({ ...row, unit: '×', values: ratios[name], note: notes[name] ?? note }),
  );
}

/** The programs one after the other, the ones that are compared beside each other. */
async function measureOnce({ folder, program, port, modules }) {
  const [target, kept] = [join(folder, 'target'), join(folder, 'kept')];
  const how = [String(SIZE), String(CHUNK), String(CONNECTIONS)];
  const origin = `http://127.0.0.1:${port}`;
  const node = (name, ...args) => secondsOf(process.execPath, [join(PROGRAMS, 'node', name), ...args]);
  const own = (address, to) => node('receive.mjs', address, ...how, to);
  const native = (to) => secondsOf(program, [String(port), `/b/${LARGE}`, ...how, to]);
  const format = ['-s', '-o', target, '-w', '%{time_total}', `${origin}/b/${LARGE}`];
  const seconds = {
    memory: await own(`${origin}/b/${LARGE}`, '-'),
    cMemory: await native('-'),
    file: await own(`${origin}/b/${LARGE}`, target),
    cFile: await native(target),
  };
  rmSync(target);
  seconds.checked = await node('fetch-model.mjs', origin, `/b/${SMALL}`, `/b/${LARGE}`, kept);
  rmSync(kept, { recursive: true });
  seconds.curl = await secondsOf('curl', format);
  seconds.object = await own(`s3://${origin}/b/${LARGE}`, target);
  if (modules !== null) {
    seconds.sdk = await node('sdk-get.mjs', modules, origin, 'b', SMALL, LARGE, target);
  }
  rmSync(target);
  return seconds;
}

async function secondsOf(command, args) {
  const { code, output } = await runToEnd(command, args, { timeoutMs: STEP_MS });
  const seconds = Number(output.trim().split('\n').at(-1));
  if (code !== 0 || !(seconds > 0)) throw new Error(`${command}: ${output.trim()}`);
  return seconds;
}

/** @returns {Promise<number | null>} the port of a server that has the files in a bucket; null: there is none */
async function serve(workspace, folder) {
  const root = join(folder, 'www');
  mkdirSync(join(root, 'b'), { recursive: true });
  for (const { name, mib } of [
    { name: SMALL, mib: 4 * CONNECTIONS },
    { name: LARGE, mib: SIZE / MIB },
  ]) {
    const words = ['if=/dev/zero', `of=${join(root, 'b', name)}`, 'bs=1M', `count=${mib}`];
    const filled = await runToEnd('dd', words, { timeoutMs: STEP_MS });
    if (filled.code !== 0) throw new Error(filled.output);
  }
  return await startNginx(workspace, { folder, root, look: `/b/${SMALL}` });
}

function missing(note) {
  return ROWS.map(({ name: _name, ...row }) => judged({ ...row, unit: '×', values: [], note }));
}
