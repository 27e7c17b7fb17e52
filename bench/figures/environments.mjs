// Environments: how long a first one takes, how soon one that cannot be is known, and what a change costs that needs none.
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { ask } from '../lib/ask.mjs';
import { CLI } from '../lib/paths.mjs';
import { runToEnd } from '../lib/processes.mjs';
import { section, startHead } from './head.mjs';
import { replicaStart } from './replica-start.mjs';
import { judged, short } from './row.mjs';

const COMMAND_TIMEOUT_MS = 300_000;
const TIMES = 3;
const REQUIREMENT = 'six';
const BOGUS = 'modelserve-no-such-package==9.9.9';
const POLL_MS = 5;

/** @param {import('./head.mjs').Context} context */
export async function environments(context) {
  const times = Math.max(TIMES, context.rounds);
  const uv = await findUv(context);
  const rows = [
    await firstBuild(context, { times, tool: 'pip', path: withoutUv(), atMost: 6 }),
    uv === null
      ? judged({
          ...buildRow('uv', 2),
          values: [],
          note: 'no uv on the PATH, and none to be had from the index',
        })
      : await firstBuild(context, { times, tool: 'uv', path: `${uv}${delimiter}${withoutUv()}`, atMost: 2 }),
  ];
  const head = await startHead(context, {
    conf: section('noop', { backend: 'NoOp', route: 'noop' }),
    route: 'noop',
  });
  rows.push(await unchanged(head, times), await replicaStart(head), await bogus(head));
  return rows;
}

function buildRow(tool, atMost) {
  return { what: `first build of an environment of one pure-Python wheel, with ${tool}`, unit: 's', atMost };
}

/** The whole command, with empty caches of pip and uv. */
async function firstBuild(context, { times, tool, path, atMost }) {
  const values = [];
  for (let time = 0; time < times; time += 1) {
    const folder = context.workspace.newFolder();
    writePackage(folder, REQUIREMENT);
    const { seconds, code, output } = await modelserve(
      ['env', 'build', '--state-dir', join(folder, 'state')],
      {
        cwd: folder,
        env: { PATH: path, UV_CACHE_DIR: join(folder, 'uv-cache'), PIP_NO_CACHE_DIR: '1' },
      },
    );
    if (code !== 0) throw new Error(`modelserve env build ended with ${code}: ${output.slice(-400)}`);
    values.push(seconds);
  }
  const note = `modelserve env build of a package that requires ${REQUIREMENT}, from the configured index, nothing cached`;
  return judged({ ...buildRow(tool, atMost), values, note });
}

function writePackage(folder, requirement) {
  const packageDir = join(folder, 'algopkg', 'Small');
  mkdirSync(packageDir, { recursive: true });
  writeFileSync(
    join(packageDir, 'backend.py'),
    'class Small:\n    async def __call__(self, request):\n        return {}\n',
  );
  writeFileSync(join(packageDir, 'requirements.txt'), `${requirement}\n`);
  writeFileSync(join(folder, 'conf.ini'), '[algopkg.Small]\nbackend = Small\n');
}

/** @returns {Promise<string | null>} a folder with uv in it */
async function findUv(context) {
  const there = await runToEnd('uv', ['--version'], { timeoutMs: COMMAND_TIMEOUT_MS });
  if (there.code === 0) {
    const which = await runToEnd('sh', ['-c', 'dirname "$(command -v uv)"'], {
      timeoutMs: COMMAND_TIMEOUT_MS,
    });
    return which.output.trim();
  }
  const folder = context.workspace.newFolder();
  const install = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', folder, 'uv'];
  const { code } = await runToEnd('python3', install, { timeoutMs: COMMAND_TIMEOUT_MS });
  return code === 0 ? join(folder, 'bin') : null;
}

/** A uv on the PATH would be used in place of pip. */
function withoutUv() {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders.filter((folder) => !existsSync(join(folder, 'uv'))).join(delimiter);
}

/** `modelserve controller` where nothing changes: from its start to its end. */
async function unchanged(head, times) {
  const values = [];
  await modelserve(['controller'], commandPlace(head)); // waits until what was just started is in force
  for (let time = 0; time < times + 2; time += 1) {
    const { seconds, code, output } = await modelserve(['controller'], commandPlace(head));
    if (code !== 0 || !output.includes('Nothing changes'))
      throw new Error(`modelserve controller: ${output}`);
    values.push(seconds);
  }
  const what = '`modelserve controller` with nothing changed';
  return judged({ what, unit: 's', atMost: 0.5, values, note: 'node process included, without npx' });
}

/** From the command to its end: what the index takes to answer is in it. Requests go on meanwhile. */
async function bogus(head) {
  const file = join(head.folder, 'algopkg', 'NoOp', 'requirements.txt');
  writeFileSync(file, `${BOGUS}\n`);
  const asking = askOn(head);
  const { seconds, code, output } = await modelserve(['controller'], commandPlace(head));
  const { answered, lost } = await asking.stop();
  rmSync(file);
  const isRight = code === 1 && output.includes('modelserve-no-such-package') && lost === 0;
  const note = `the index's own time included; ${answered} requests answered meanwhile, ${lost} lost`;
  const row = judged({
    what: 'a requirement that does not exist: from the command to its end',
    unit: 's',
    atMost: 5,
    values: [seconds],
    note,
  });
  return isRight ? row : short(row, `${note}; ended with ${code}: ${output.slice(-300)}`);
}

function askOn(head) {
  const target = {
    port: head.port,
    path: '/noop',
    method: 'POST',
    contentType: 'application/json',
    body: Buffer.from('{}'),
  };
  const counts = { answered: 0, lost: 0 };
  let isOver = false;
  const loop = (async () => {
    while (!isOver) {
      const status = await ask(target).then(
        (answer) => answer.status,
        () => 0,
      );
      if (status === 200) counts.answered += 1;
      else counts.lost += 1;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  })();
  return {
    stop: async () => {
      isOver = true;
      await loop;
      return counts;
    },
  };
}

function commandPlace(head) {
  return { cwd: head.folder, env: { MODELSERVE_STATE_DIR: join(head.folder, 'state') } };
}

async function modelserve(args, { cwd, env }) {
  const startedAt = performance.now();
  const ended = await runToEnd(process.execPath, [CLI, ...args], { cwd, env, timeoutMs: COMMAND_TIMEOUT_MS });
  return { ...ended, seconds: (performance.now() - startedAt) / 1000 };
}
