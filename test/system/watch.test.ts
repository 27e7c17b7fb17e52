import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launchCommand, TestHead } from './support/cluster.ts';
import { Project } from './support/project.ts';
import type { TestProcess } from './support/test-process.ts';
import { until } from './support/until.ts';

const answering = (word: string) =>
  `class Backend(object):\n    def __init__(self, model_path):\n        pass\n\n    async def __call__(self, request):\n        return {"status": 1, "word": "${word}"}\n`;

const project = new Project('modelserve-watch-');
let head: TestHead;
let watch: TestProcess;

beforeAll(async () => {
  project.package('Word', answering('one'));
  project.sections({ Word: { backend: 'Backend', route: 'word', min_ready_s: 0 } });
  head = await TestHead.start({ conf: project.conf });
  watch = launchCommand(['controller', '--watch', '--conf', project.conf, ...head.client], project.dir);
  await watch.says(/Waiting for a save/);
});

afterAll(async () => {
  watch.signal('SIGKILL');
  await head.dispose();
  rmSync(project.dir, { recursive: true, force: true });
});

const word = async (): Promise<unknown> => {
  const answer = await fetch(head.url('word'), { method: 'POST', body: '{}' });
  return answer.ok ? ((await answer.json()) as { word: unknown }).word : null;
};

/** What was said since; what was said before is forgotten. */
async function after(save: () => void, pattern: RegExp): Promise<string> {
  watch.output = '';
  save();
  await watch.says(pattern);
  return watch.output;
}

it('begins with what is there', async () => {
  expect(watch.output).toMatch(/Nothing changes\./);
  expect(await word()).toBe('one');
});

it('applies the save of a package', async () => {
  const said = await after(
    () => project.write('algopkg/Word/backend.py', answering('two')),
    /Waiting for a save/,
  );
  expect(said).toMatch(/saved: algopkg\/Word\/backend\.py\n/);
  expect(said).toMatch(/is in force\./);
  expect(await word()).toBe('two');
});

it('tells mistakes in conf.ini, and goes on', async () => {
  await after(() => project.write('conf.ini', '[algopkg.Word]\nbackend = Nope\n'), /nothing was changed\./);
  expect(await word()).toBe('two');
  await after(
    () => project.sections({ Word: { backend: 'Backend', route: 'word', min_ready_s: 0, replicas: 2 } }),
    /is in force\./,
  );
  expect((await head.status()).deployments[0]?.target).toBe(2);
});

it('does not wait for a rollout that is no longer wanted', async () => {
  const stuck = `import time\n\n\nclass Backend(object):\n    def __init__(self, model_path):\n        time.sleep(3600)\n`;
  await after(() => project.write('algopkg/Word/backend.py', stuck), /Revision \d+:/);
  await after(() => project.write('algopkg/Word/backend.py', answering('three')), /is in force\./);
  expect(await word()).toBe('three');
});

it('looks away from caches', async () => {
  mkdirSync(join(project.dir, 'algopkg/Word/__pycache__'), { recursive: true });
  writeFileSync(join(project.dir, 'algopkg/Word/__pycache__/backend.pyc'), 'x');
  const said = await after(
    () => project.write('algopkg/Word/backend.py', answering('four')),
    /Waiting for a save/,
  );
  expect(said).not.toContain('__pycache__');
  expect(await word()).toBe('four');
});

it('ends with 0 when it is interrupted', async () => {
  watch.signal('SIGINT');
  await watch.ended();
  expect(watch.exitCode).toBe(0);
  await until('the cluster to serve on', async () => (await word()) === 'four');
});
