// How fast a model comes from a web server, beside a C program and curl: nginx on loopback, so that nothing but the
// receiver is slow. What a disk would do to it, memory keeps out.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../lib/paths.mjs';
import { freePorts } from '../lib/ports.mjs';
import { endTree, runToEnd, startMarked } from '../lib/processes.mjs';
import { judged } from './row.mjs';

const SIZE = 2 * 1024 ** 3;
const CHUNK = 8 * 1024 ** 2;
const CONNECTIONS = 8;
const MEMORY = '/dev/shm';
const STEP_MS = 120_000;
const PROGRAMS = join(ROOT, 'bench', 'programs');

const ROWS = [
  { name: 'memory', what: 'a 2 GiB file into memory, against a C program', atLeast: 0.9 },
  { name: 'file', what: 'a 2 GiB file into a file in memory, against a C program', atLeast: 0.8 },
  {
    name: 'curl',
    what: 'a 2 GiB file into a file in memory, against curl with one connection',
    atLeast: 1.3,
  },
];

/** @param {import('./head.mjs').Context} context */
export async function receive(context) {
  const folder = mkdtempSync(join(MEMORY, 'modelserve-bench-'));
  context.workspace.own({ stop: async () => rmSync(folder, { recursive: true, force: true }) });
  const program = join(folder, 'ranged-read');
  const source = join(PROGRAMS, 'native', 'ranged-read.c');
  const built = await runToEnd('cc', ['-O2', '-pthread', '-o', program, source], { timeoutMs: STEP_MS });
  if (built.code !== 0) return missing(`cc does not make the C program: ${built.output.trim()}`);
  const port = await startNginx(context, folder);
  if (port === null) return missing('nginx does not start');
  const ratios = { memory: [], file: [], curl: [] };
  for (let round = 1; round <= context.rounds; round += 1) {
    const one = await measureOnce(folder, program, port);
    context.say(
      `  round ${round}: ${Object.entries(one)
        .map(([name, s]) => `${name} ${s.toFixed(2)} s`)
        .join(', ')}`,
    );
    ratios.memory.push(one.cMemory / one.memory);
    ratios.file.push(one.cFile / one.file);
    ratios.curl.push(one.curl / one.file);
  }
  const note = `nginx with sendfile on loopback, ${CONNECTIONS} connections, ranges of 8 MiB`;
  return ROWS.map(({ name, what, atLeast }) =>
    judged({ what, unit: '×', atLeast, values: ratios[name], note }),
  );
}

async function measureOnce(folder, program, port) {
  const target = join(folder, 'target');
  const how = [String(SIZE), String(CHUNK), String(CONNECTIONS)];
  const own = (to) =>
    secondsOf(process.execPath, [
      join(PROGRAMS, 'node', 'receive.mjs'),
      `http://127.0.0.1:${port}`,
      '/m.bin',
      ...how,
      to,
    ]);
  const native = (to) => secondsOf(program, [String(port), '/m.bin', ...how, to]);
  const format = ['-s', '-o', target, '-w', '%{time_total}', `http://127.0.0.1:${port}/m.bin`];
  const seconds = {
    ...{ memory: await own('-'), cMemory: await native('-'), file: await own(target) },
    ...{ cFile: await native(target), curl: await secondsOf('curl', format) },
  };
  rmSync(target);
  return seconds;
}

async function secondsOf(command, args) {
  const { code, output } = await runToEnd(command, args, { timeoutMs: STEP_MS });
  const seconds = Number(output.trim().split('\n').at(-1));
  if (code !== 0 || !(seconds > 0)) throw new Error(`${command}: ${output.trim()}`);
  return seconds;
}

/** @returns {Promise<number | null>} its port; null: there is none */
async function startNginx({ workspace }, folder) {
  const [port] = await freePorts(1);
  const www = join(folder, 'www');
  mkdirSync(www);
  writeFileSync(join(www, 'm.bin'), '');
  const filled = await runToEnd('dd', ['if=/dev/zero', `of=${join(www, 'm.bin')}`, 'bs=1M', 'count=2048'], {
    timeoutMs: STEP_MS,
  });
  if (filled.code !== 0) throw new Error(filled.output);
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const conf = join(folder, 'nginx.conf');
  writeFileSync(
    conf,
    `daemon off; user root; worker_processes 2; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 512; }
http { sendfile on; access_log off; keepalive_requests 1000000;
${places.map((place) => `${place}_temp_path ${folder}/${place};`).join(' ')}
server { listen 127.0.0.1:${port}; root ${www}; } }\n`,
  );
  const mark = `receive-${port}`;
  const root = startMarked('nginx', ['-c', conf], { mark, logFile: join(folder, 'nginx.log') });
  workspace.own({ stop: async () => await endTree(root, { rootPids: [root.pid ?? 0], mark }) });
  return (await answers(port)) ? port : null;
}

async function answers(port) {
  for (let tries = 0; tries < 100; tries += 1) {
    const answer = await fetch(`http://127.0.0.1:${port}/m.bin`, { method: 'HEAD' }).catch(() => null);
    if (answer?.ok) return true;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return false;
}

function missing(note) {
  return ROWS.map(({ what, atLeast }) => judged({ what, unit: '×', atLeast, values: [], note }));
}
