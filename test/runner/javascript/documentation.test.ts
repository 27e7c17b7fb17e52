import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { type BuiltRunner, buildRunner } from './build.ts';
import { startReplica, type TestReplica } from './replica-harness.ts';

const PAGE = resolve(import.meta.dirname, '../../../docs/backends.md');

let runner: BuiltRunner;
let replica: TestReplica | null = null;
/** the examples of the page by class name */
const examples = new Map<string, string>();

beforeAll(async () => {
  runner = await buildRunner();
  const page = await readFile(PAGE, 'utf8');
  for (const [, code = ''] of page.matchAll(/```ts\n([\s\S]*?)```/g)) {
    examples.set(/export class (\w+)/.exec(code)?.[1] ?? 'no class', code);
  }
});

afterEach(async () => {
  await replica?.stop();
  replica = null;
});

afterAll(() => runner?.remove());

async function start(name: string): Promise<TestReplica> {
  const files = { 'backend.ts': examples.get(name) ?? '' };
  replica = await startReplica({ main: runner.main, files, launch: { backend: name } });
  return replica;
}

it('has no example without a test', () => {
  expect([...examples.keys()]).toEqual(['Echo', 'Threshold', 'Counter']);
});

it('Echo answers', async () => {
  const echo = await start('Echo');
  expect(await echo.json({ name: 'Ann' })).toMatchObject({ status: 1, result: 'hello Ann' });
});

it('Threshold predicts, is reconfigured and says how it is', async () => {
  const threshold = await start('Threshold');
  expect(await threshold.json({ values: [0.2, 0.7] })).toEqual({ over: [0.7] });
  const reconfigure = (value: number): Promise<unknown> =>
    threshold.control.control({ op: 'reconfigure', config: { threshold: value } }, 5_000);
  expect(await reconfigure(0.1)).toEqual({ ok: true });
  expect(await threshold.json({ values: [0.2, 0.7] })).toEqual({ over: [0.2, 0.7] });
  expect(await threshold.control.control({ op: 'health' }, 5_000)).toEqual({ ok: true });
  await reconfigure(2);
  expect(await threshold.control.control({ op: 'health' }, 5_000)).toMatchObject({ ok: false });
});

it('Counter streams', async () => {
  const counter = await start('Counter');
  const answer = await counter.send({ body: '{"to":2}' }).answer;
  expect(answer.body.toString()).toBe('{"number":0}\n{"number":1}\n');
});
