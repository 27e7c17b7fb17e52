import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { beforeAll, describe, expect, it } from 'vitest';
import { ModelAgents } from '../../../src/agent/model-agents/model-agents.ts';
import { actionOf } from '../../../src/agent/replicas/news.ts';
import type { PinnedSpec } from '../../../src/cluster/spec/types.ts';
import { NodeValues } from '../../../src/config/node-values.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { pinnedSpec } from '../../cluster/builders.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { writeTree } from '../content/place.ts';
import { baseEnv } from '../harness.ts';

let worker = '';

beforeAll(async () => {
  const source = join(import.meta.dirname, '../../../src/agent/model-agents/module-worker.ts');
  const { outputFiles } = await build({
    entryPoints: [source],
    bundle: true,
    platform: 'node',
    format: 'esm',
    write: false,
  });
  worker = outputFiles[0]?.text ?? '';
});

const quiet = () => ({ onProgress: () => undefined, signal: AbortSignal.timeout(60_000) });
const hexOf = (algorithm: string, text: string): string => createHash(algorithm).update(text).digest('hex');

/** A deployment with two models, and agents whose modules have these sources. */
function open(agents: Record<string, string>, modules: Record<string, string> = {}) {
  const dir = tempDir();
  const tree = Object.entries(modules).map(([path, source]) => [`snapshot/algopkg/P/${path}`, source]);
  writeTree(dir, {
    'zoo/m.bin': 'weights',
    'zoo/bert/w.bin': 'deep',
    'worker.mjs': worker,
    ...Object.fromEntries(tree),
  });
  const spec: PinnedSpec = pinnedSpec({
    ...{ packageName: 'P', package: { hash: 'p', snapshotDir: join(dir, 'snapshot') } },
    modelPins: ['m.bin', 'bert'].map((name) => ({ name, sizeBytes: 1, sha256: name })),
    ...{ modelRoot: join(dir, 'zoo'), agents, startupTimeoutMs: 20_000, env: { FROM_CONF: 'yes' } },
  });
  const runner = new ModelAgents(
    {
      ...{ viewsDir: join(dir, 'views'), scratchDir: join(dir, 'scratch'), env: baseEnv() },
      values: new NodeValues({}, 'n1'),
      ...{ nodePath: process.execPath, program: join(dir, 'worker.mjs') },
    },
    silentLog,
  );
  return { dir, spec, runner };
}

describe('the checksum agent', () => {
  it('takes files that hold what conf.ini says, and reads none twice', async () => {
    const { dir, spec, runner } = open({
      'checksum.md5:m.bin': hexOf('md5', 'weights').toUpperCase(),
      'checksum.SHA512:bert/w.bin': hexOf('sha512', 'deep'),
    });
    expect(await runner.load(spec, quiet())).toEqual(spec);
    const file = join(dir, 'zoo/m.bin');
    expect(await runner.load(spec, quiet())).toEqual(spec);
    writeFileSync(file, 'damaged');
    await expect(runner.load(spec, quiet())).rejects.toThrow('m.bin has another MD5');
  });

  it.each([
    [
      'MD5:m.bin',
      hexOf('md5', 'other'),
      `agent checksum: m.bin has another MD5 than conf.ini says: expected ${hexOf('md5', 'other')}, found ${hexOf('md5', 'weights')}`,
    ],
    [
      'SHA1:none.bin',
      'a'.repeat(40),
      'agent checksum: SHA1:none.bin: there is no such file among the models of this deployment',
    ],
    [
      'SHA1:bert',
      'a'.repeat(40),
      'agent checksum: SHA1:bert: there is no such file among the models of this deployment',
    ],
  ])('refuses %s', async (key, value, message) => {
    const { spec, runner } = open({ [`checksum.${key}`]: value });
    await expect(runner.load(spec, quiet())).rejects.toMatchObject({ code: 'AGENT_FAILED', message });
  });
});

const SHRINK = `
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
export async function modelAction({ action, model, location, parameters, workDir, deployment }) {
  if (action !== 'load') return;
  cpSync(location, workDir, { recursive: true });
  writeFileSync(join(workDir, 'm.bin'), [model, parameters.level, deployment, process.env.FROM_CONF].join(' '));
  console.log('what it prints is no answer');
  return { location: workDir };
}
`;

describe('a module', () => {
  it('gets models, location and parameters, and may put another location in place for the agents after it', async () => {
    const { dir, spec, runner } = open(
      {
        shrink: 'hooks/shrink.mjs',
        'shrink.level': '3',
        'checksum.MD5:m.bin': hexOf('md5', 'm.bin,bert 3 Echo yes'),
      },
      { 'hooks/shrink.mjs': SHRINK },
    );
    const here = await runner.load(spec, quiet());
    expect(here.modelRoot.startsWith(join(dir, 'views'))).toBe(true);
    expect(readFileSync(join(here.modelRoot, 'm.bin'), 'utf8')).toBe('m.bin,bert 3 Echo yes');
    expect(readFileSync(join(dir, 'zoo/m.bin'), 'utf8')).toBe('weights');
    expect((await runner.load(spec, quiet())).modelRoot).toBe(here.modelRoot);
  });

  it.each([
    [
      'throws',
      'throw new Error("the licence has run out")',
      /^agent x \(x\.mjs\): load: the licence has run out$/,
    ],
    ['ends its process', 'process.exit(3)', /its process ended with 3 before it had answered/],
    ['never answers', 'await new Promise((r) => setTimeout(r, 60_000))', /no answer within 0\.5 s/],
    ['gives no folder', 'return { location: "elsewhere" }', /it gave a location that is no absolute path/],
    ['gives a folder without the models', 'return { location: "/usr" }', /without m\.bin in it: \/usr/],
  ])('that %s keeps the models from being loaded', async (_what, body, message) => {
    const { spec, runner } = open(
      { x: 'x.mjs' },
      { 'x.mjs': `export const modelAction = async () => { ${body} };` },
    );
    const limited = { ...spec, startupTimeoutMs: body.includes('60_000') ? 500 : 20_000 };
    await expect(runner.load(limited, quiet())).rejects.toMatchObject({
      code: 'AGENT_FAILED',
      message: expect.stringMatching(message),
    });
  });

  it('that cannot be called says why, with its stack', async () => {
    const { spec, runner } = open({ x: 'x.mjs' }, { 'x.mjs': 'export const other = 1;' });
    await expect(runner.load(spec, quiet())).rejects.toThrow('it exports no function modelAction');
    const broken = open({ x: 'x.mjs' }, { 'x.mjs': 'import nothing from "./gone.mjs";' });
    await expect(broken.runner.load(broken.spec, quiet())).rejects.toMatchObject({
      data: { details: expect.stringContaining('gone.mjs') },
    });
  });

  it('is told in order what becomes of a replica; what fails then hurts nobody', async () => {
    const { dir, spec, runner } = open(
      { note: 'note.cjs' },
      {
        'note.cjs': `
const { appendFileSync } = require('node:fs');
exports.modelAction = async ({ action, replica, location }) => {
  await new Promise((resolve) => setTimeout(resolve, action === 'load_complete' ? 200 : 0));
  appendFileSync(${JSON.stringify('FILE')}, [action, replica, location].join(' ') + '\\n');
  if (action === 'unload') throw new Error('no');
};`,
      },
    );
    const file = join(dir, 'heard');
    const module = join(dir, 'snapshot/algopkg/P/note.cjs');
    writeFileSync(module, readFileSync(module, 'utf8').replace('"FILE"', JSON.stringify(file)));
    for (const action of ['load_complete', 'unload', 'unload_complete'] as const) {
      runner.tell(spec, { replicaId: 'r1', action, location: '/models' });
    }
    await runner.stop();
    const heard = readFileSync(file, 'utf8').trim().split('\n');
    expect(heard).toEqual(
      ['load_complete', 'unload', 'unload_complete'].map((action) => `${action} r1 /models`),
    );
    rmSync(file);
    runner.tell(pinnedSpec(), { replicaId: 'r2', action: 'unload', location: '' });
    await runner.stop();
    expect(existsSync(file)).toBe(false);
  });
});

describe('what an event means for the models of a replica', () => {
  const failure = { kind: 'start', message: '', traceback: '', atMs: 0 } as const;
  it.each([
    [{ type: 'became-ready', atMs: 0 }, 'starting', 'load_complete'],
    [{ type: 'preparation-failed', failure }, 'preparing', 'load_fail'],
    [{ type: 'exited', failure }, 'starting', 'load_fail'],
    [{ type: 'drain-requested', deadlineMs: 0 }, 'ready', 'unload'],
    [{ type: 'drain-requested', deadlineMs: 0 }, 'preparing', null],
    [{ type: 'exited', failure }, 'ready', 'unload_complete'],
    [{ type: 'exited', failure }, 'draining', 'unload_complete'],
    [{ type: 'proved-stable' }, 'ready', null],
  ] as const)('%j in %s: %s', (event, before, action) => {
    expect(actionOf(event, before)).toBe(action);
  });
});
