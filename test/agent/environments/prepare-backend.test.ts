import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { missingModuleRemedy } from '../../../src/agent/environments/missing-module.ts';
import { type PreparedBackend, prepareBackend } from '../../../src/agent/environments/prepare-backend.ts';
import type { PinnedSpec } from '../../../src/cluster/spec/types.ts';
import { pinnedSpec, type SpecOver } from '../../cluster/builders.ts';
import { type Fake, prepareOptions, type Workplace, workplace } from '../harness.ts';

/** A Python package Echo whose backend.py is this. */
function pythonSpec(place: Workplace, backend: string, over: SpecOver = {}): PinnedSpec {
  const snapshotDir = join(place.paths.snapshots, 'python');
  mkdirSync(join(snapshotDir, 'algopkg', 'Echo'), { recursive: true });
  writeFileSync(join(snapshotDir, 'algopkg', 'Echo', 'backend.py'), backend);
  const projectDir = place.paths.root;
  return pinnedSpec({ projectDir, package: { hash: 'python', snapshotDir }, ...over });
}

function prepare(place: Workplace, spec: PinnedSpec): Promise<PreparedBackend> {
  return prepareBackend(spec, place.prepareOptions, {
    onProgress: () => undefined,
    signal: new AbortController().signal,
  });
}

function prepareFake(place: Workplace, fake: Fake, spec: SpecOver = {}): Promise<PreparedBackend> {
  return prepare(place, place.assignment('x', fake, { spec }).spec);
}

const CLASS = 'class algo_backend:\n    async def __call__(self, request):\n        return {}\n';

test('a Python backend is ready when it can be imported', async () => {
  const place = workplace();
  const prepared = await prepare(place, pythonSpec(place, CLASS, { env: { COLOUR: 'red' } }));
  expect(prepared).toMatchObject({
    args: [expect.stringMatching(/runner\/python\/main\.py$/)],
    codeDir: join(place.paths.snapshots, 'python'),
    env: { COLOUR: 'red', PYTHONUNBUFFERED: '1' },
  });
});

test.each([
  [
    'a module that is not there',
    `import cv2\n${CLASS}`,
    /add "opencv-python-headless" to algopkg\/Echo\/requirements.txt/,
  ],
  ['a syntax error', `def (\n${CLASS}`, /SyntaxError|invalid syntax/],
  ['a class that is not there', 'class other:\n    pass\n', /algo_backend/],
])('%s is told before anything starts', async (_what, backend, message) => {
  const place = workplace();
  const failure = await prepare(place, pythonSpec(place, backend)).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: 'IMPORT_FAILED', message: expect.stringMatching(message) });
});

test('a snapshot without the package is named', async () => {
  const place = workplace();
  const gone = { package: { hash: 'q', snapshotDir: '/nowhere' } };
  await expect(prepareFake(place, {}, gone)).rejects.toThrow('/nowhere/algopkg/Echo is not there');
});

test('an import that fails for want of a GPU decides nothing where the replica will have one', async () => {
  const place = workplace();
  const fake = { importError: 'torch: no CUDA device' };
  await expect(prepareFake(place, fake)).rejects.toThrow('no CUDA device');
  await prepareFake(place, fake, { gpuMilli: 500 });
  await expect(prepareFake(place, { importError: 'bad' }, { gpuMilli: 500 })).rejects.toThrow('bad');
});

test('a runner that dies in the check is told by its output', async () => {
  const place = workplace();
  const options = prepareOptions(place.paths, { runners: { python: '', javascript: '/no/runner.js' } });
  const progress = { onProgress: () => undefined, signal: new AbortController().signal };
  const failed = prepareBackend(place.assignment('x').spec, options, progress);
  await expect(failed).rejects.toThrow(/the import ended the process with code 1/);
});

test.each([
  ['PIL.Image', 'python', 'add "Pillow" to algopkg/P/requirements.txt'],
  ['numpy', 'python', 'add "numpy" to algopkg/P/requirements.txt'],
  ['@scope/pkg/deep', 'javascript', 'add "@scope/pkg" to the dependencies in algopkg/P/package.json'],
  ['zod', 'javascript', 'add "zod" to the dependencies in algopkg/P/package.json'],
  ['./helper.js', 'javascript', 'there is no such file in algopkg/P; correct the import'],
] as const)('the remedy for a missing %s in %s', (module, language, remedy) => {
  expect(missingModuleRemedy(module, 'P', language)).toBe(remedy);
});
