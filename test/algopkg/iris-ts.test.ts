import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { afterAll, describe, expect, it } from 'vitest';
import { type Answer, heldOut, MODELS, PROJECT, printSkip, reasonOf, run, shareOf } from './drive.ts';

interface Prediction {
  readonly species: string;
  readonly probability: number;
}
interface Iris {
  init(): Promise<void>;
  call(request: { json(): Promise<unknown> }): Promise<Answer<unknown>>;
}
type IrisClass = new (modelPath: string) => Iris;

const folder = await mkdtemp(join(tmpdir(), 'modelserve-iris-'));
await cp(join(PROJECT, 'algopkg/IrisTs'), folder, {
  recursive: true,
  filter: (path) => !path.includes('node_modules'),
});
const installed = await run('npm', ['ci', '--no-audit', '--no-fund', '--fetch-retries=1'], folder);
const missing = installed.exitCode === 0 ? null : `its packages cannot be installed: ${reasonOf(installed)}`;
if (missing !== null) printSkip('IrisTs', missing);

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function loadClass(): Promise<IrisClass> {
  const outfile = join(folder, 'backend.mjs');
  await build({
    entryPoints: [join(folder, 'backend.ts')],
    outfile,
    bundle: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
  });
  const { IrisBackend } = (await import(/* @vite-ignore */ pathToFileURL(outfile).href)) as {
    IrisBackend: IrisClass;
  };
  return IrisBackend;
}

async function start(
  modelPath = `${MODELS},iris_v1.json`,
): Promise<(question: unknown) => Promise<Answer<unknown>>> {
  const iris = new (await loadClass())(modelPath);
  await iris.init();
  return (question) => iris.call({ json: async () => question });
}

describe.skipIf(missing !== null)('IrisTs', () => {
  it('names at least 90 of 100 held-out flowers right, one by one or all at once alike', async () => {
    const ask = await start();
    const rows = await heldOut<{ readonly species: string }>('iris');
    const each: unknown[] = [];
    for (const row of rows) each.push((await ask(row)).result);
    expect(
      shareOf(rows, (row, index) => (each[index] as Prediction).species === row.species),
    ).toBeGreaterThanOrEqual(0.9);
    expect((await ask({ flowers: rows })).result).toEqual(each);
  });

  it('takes numbers as text, as query parameters have them', async () => {
    const ask = await start();
    const flower = { sepalLength: '5.1', sepalWidth: '3.5', petalLength: '1.4', petalWidth: '0.2' };
    expect(await ask(flower)).toMatchObject({ status: 1, result: { species: 'setosa' } });
  });

  it.each([
    [{}, /petalLength/],
    [{ sepalLength: -1, sepalWidth: 3, petalLength: 1, petalWidth: 1 }, /sepalLength/],
    [{ flowers: [] }, /flowers/],
    [null, /expected object/],
  ])('answers status 0 for %j', async (question, info) => {
    const answer = await (await start())(question);
    expect(answer.status).toBe(0);
    expect(answer.info).toMatch(info);
  });

  it('does not start without its model', async () => {
    await expect(start('')).rejects.toThrow(/expected one model/);
    await expect(start(`${MODELS},gone.json`)).rejects.toThrow(/gone\.json/);
  });
});
