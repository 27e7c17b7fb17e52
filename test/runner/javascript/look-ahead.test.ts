import { stat, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { replicasOfEachTest } from './build.ts';
import { eventually, type SentRequest, type TestReplica } from './replica-harness.ts';

/** `busyUntil` computes, without giving way, until a file is there. */
const BACKEND = `
import { existsSync, writeFileSync } from 'node:fs';
export class EchoBackend {
  constructor() { this.calls = 0; this.level = 0; this.timers = 0; }
  reconfigure({ level }) { this.level = level; }
  async call(request) {
    const { name, busyUntil, busyMs, timer, exit } = await request.json();
    if (exit) process.exit(3);
    this.calls += 1;
    if (timer) setInterval(() => { this.timers += 1; }, 1);
    if (name) writeFileSync(name, '');
    if (busyUntil) while (!existsSync(busyUntil));
    if (busyMs) { const end = performance.now() + busyMs; while (performance.now() < end); }
    return { calls: this.calls, level: this.level, timers: this.timers };
  }
}`;

const startWith = replicasOfEachTest();
const start = async (): Promise<TestReplica> =>
  await startWith({ files: { 'backend.mjs': BACKEND }, launch: { max_ongoing: 200 } });

function send(replica: TestReplica, task: object, head = {}): SentRequest {
  return replica.send({ body: JSON.stringify(task), head });
}

async function answerOf(request: SentRequest): Promise<Record<string, unknown>> {
  return JSON.parse((await request.answer).body.toString());
}

/** A call that keeps the thread; what is sent now is given to the thread ahead. */
async function sendBusy(replica: TestReplica): Promise<SentRequest & { release: () => Promise<void> }> {
  const folder = replica.launch.code_dir;
  const request = send(replica, { name: `${folder}/busy`, busyUntil: `${folder}/go` });
  await eventually('it is in user code', () => exists(`${folder}/busy`));
  return { ...request, release: () => writeFile(`${folder}/go`, '') };
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}

describe('while user code keeps the thread, calls that it was given ahead', () => {
  it('expire, are cancelled, and are never begun', async () => {
    const replica = await start();
    const busy = await sendBusy(replica);
    send(replica, {}).stream.cancel();
    const late = await send(replica, {}, { timeout_ms: 50 }).answer;
    expect([late.kind, late.reason]).toEqual(['failed', 'DEADLINE']);
    const kept = send(replica, {});
    await busy.release();
    expect(await answerOf(busy)).toMatchObject({ calls: 1 });
    expect(await answerOf(kept)).toMatchObject({ calls: 2 });
  });

  it('may go elsewhere when the replica is stopped', async () => {
    const replica = await start();
    const busy = await sendBusy(replica);
    const ahead = send(replica, {});
    await replica.control.control({ op: 'drain', grace_ms: 50 }, 30_000);
    const answer = await ahead.answer;
    expect([answer.kind, answer.reason]).toEqual(['refused', 'draining']);
    expect((await busy.answer).reason).toBe('REPLICA_STOPPED');
  });

  it('wait for a new config', async () => {
    const replica = await start();
    const busy = await sendBusy(replica);
    const ahead = [send(replica, {}), send(replica, {})];
    const applied = replica.control.control({ op: 'reconfigure', config: { level: 2 } }, 60_000);
    await eventually('all are in', async () => {
      await replica.control.control({ op: 'dump_stacks' }, 30_000);
      return (await replica.log()).includes('3 requests');
    });
    await busy.release();
    expect(await applied).toEqual({ ok: true });
    expect(await answerOf(busy)).toMatchObject({ level: 0 });
    for (const request of ahead) expect(await answerOf(request)).toMatchObject({ level: 2 });
  });
});

describe('calls that follow each other', () => {
  it('leave their answers behind before the next one keeps the thread', async () => {
    const replica = await start();
    const short = send(replica, {});
    const busy = await sendBusy(replica);
    expect(await answerOf(short)).toMatchObject({ calls: 1 });
    await busy.release();
    expect(await answerOf(busy)).toMatchObject({ calls: 2 });
  });

  it('leave their answers behind when the next one ends the thread', async () => {
    const replica = await start();
    const requests = [{}, {}, { exit: true }, {}].map((task) => send(replica, task));
    const answers = await Promise.all(requests.map(({ answer }) => answer));
    expect(answers.map(({ kind }) => kind)).toEqual(['answered', 'answered', 'lost', 'lost']);
  });

  it('let the timers of user code have their turn', async () => {
    const replica = await start();
    const requests = Array.from({ length: 100 }, () => send(replica, { busyMs: 1, timer: true }));
    const answers = await Promise.all(requests.map(answerOf));
    expect(answers.at(-1)?.['calls']).toBe(100);
    expect(answers.at(-1)?.['timers']).toBeGreaterThan(0);
  });

  it('are answered in order, whatever their sizes', async () => {
    const replica = await start();
    const sizes = [10, 100_000, 10, 20_000, 900_000, 16_000, 10];
    const requests = sizes.map((size) => send(replica, { padding: 'x'.repeat(size) }));
    const answers = await Promise.all(requests.map(answerOf));
    expect(answers.map(({ calls }) => calls)).toEqual(sizes.map((_, index) => index + 1));
  });
});
