import { describe, expect, it, onTestFinished } from 'vitest';
import { FLAG_END, FrameType } from '../../../src/channel/frames.ts';
import { ChannelClient } from './channel-client.ts';
import { python } from './interpreters.ts';
import { TestReplica } from './replica.ts';
import { until } from './until.ts';

const sync = `
import threading, time
class Backend:
    def __init__(self, model_path):
        self.gate = threading.Event()
        self.seen = []
        self.config = None
        self.running = 0
        self.most = 0
        self.lock = threading.Lock()
    def reconfigure(self, config):
        if config == "raise":
            raise ValueError("no such config")
        self.config = [config, self.running]
    def predict(self, p):
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            self.seen.append(p.get("n"))
            if p.get("spin"):
                end = time.monotonic() + p["spin"]
                while time.monotonic() < end:
                    sum(range(1000))
            if p.get("open"):
                self.gate.set()
            if p.get("wait"):
                self.gate.wait(15)
            if p.get("sleep"):
                time.sleep(p["sleep"])
            return {"seen": list(self.seen), "config": self.config, "most": self.most,
                    "thread": threading.current_thread() is threading.main_thread()}
        finally:
            with self.lock:
                self.running -= 1
`;
const asynchronous = `
import asyncio
class Backend:
    def __init__(self, model_path):
        self.task = asyncio.get_event_loop().create_task(asyncio.sleep(0))
        self.gate = asyncio.Event()
        self.seen = []
        self.config = None
    async def reconfigure(self, config):
        await asyncio.sleep(0)
        self.config = config
    async def health(self):
        return not self.seen
    async def __call__(self, request):
        p = await request.json()
        try:
            if p.get("open"):
                self.gate.set()
            if p.get("wait"):
                await self.gate.wait()
            return {"seen": list(self.seen), "config": self.config}
        except asyncio.CancelledError:
            self.seen.append("cancelled %s" % p.get("n"))
            raise
`;

async function serve(backend: string, launch: Record<string, unknown> = {}) {
  const replica = new TestReplica({ python: python?.path ?? '', backend, launch });
  onTestFinished(() => replica.dispose());
  const agent = await (await replica.start().connect('agent')).ready();
  const client = await replica.connect('ingress');
  return { replica, agent, client };
}

describe.skipIf(python === null)('calls', () => {
  it('judges by itself what it takes: exactly max_ongoing, the rest is refused', async () => {
    const { client, replica } = await serve(sync, { max_ongoing: 3 });
    const other = await replica.connect();
    for (const parameters of [{ wait: 1 }, {}, {}]) void client.call(parameters);
    await until(
      () => client.notifications.some((each) => each.event === 'beat' && each.ongoing === 3),
      'three ongoing',
    );
    expect(await client.call({})).toEqual({ kind: 'refused', reason: 'full' });
    expect(await other.call({}, { replica: 'Echo-other' })).toEqual({
      kind: 'refused',
      reason: 'unknown_replica',
    });
    client.send(FrameType.cancel, 0, 1);
    expect(await client.call({}), 'user code still runs the cancelled one').toMatchObject({ reason: 'full' });
    replica.signal('SIGTERM');
    await until(() => other.goaway === 'draining', 'goaway');
    expect(await other.call({})).toEqual({ kind: 'refused', reason: 'draining' });
  });

  it('lets a synchronous call whose client has left go on, and throws its result away', async () => {
    const { client } = await serve(sync, { concurrency: 2 });
    const left = client.request({ body: '{"wait": 1, "n": "left"}' });
    await expect.poll(async () => (await client.call({ n: 'next' })).json).toMatchObject({ most: 2 });
    client.send(FrameType.cancel, 0, left.stream);
    expect((await client.call({ open: 1 })).json).toMatchObject({ seen: expect.arrayContaining(['left']) });
    const told = client.notifications.length;
    await until(
      () => client.notifications.slice(told).some((each) => each.event === 'beat' && each.ongoing === 0),
      'nothing ongoing',
    );
    expect(client.frames.filter(({ stream }) => stream === left.stream)).toEqual([]);
  });

  it('refuses while it starts', async () => {
    const backend = `import os, time\nwhile not os.path.exists("go"):\n    time.sleep(0.01)\n${sync}`;
    const replica = new TestReplica({ python: python?.path ?? '', backend });
    onTestFinished(() => replica.dispose());
    const client = await replica.start().connect();
    expect(client.hello).toMatchObject({
      role: 'replica',
      pid: replica.pid,
      state: { phase: 'starting', max_ongoing: 16 },
    });
    expect(await client.call({})).toEqual({ kind: 'refused', reason: 'not_ready' });
  });

  it('answers pings, refusals and cancels, and beats, while user code holds the interpreter', async () => {
    const { client } = await serve(sync, { max_ongoing: 2 });
    const busy = client.call({ spin: 3, n: 'busy' });
    let isBusy = true;
    void busy.then(() => {
      isBusy = false;
    });
    const queued = client.request({ body: '{"n": "dropped"}' });
    const beats = client.notifications.length;
    client.send(FrameType.ping, 0, 0, '12345678');
    await until(() => client.frames.some((frame) => frame.type === FrameType.pong), 'pong');
    expect(await client.call({})).toMatchObject({ reason: 'full' });
    expect(isBusy, 'when pong and refusal are here').toBe(true);
    client.send(FrameType.cancel, 0, queued.stream);
    await until(() => client.notifications.length >= beats + 2, 'beats');
    expect(isBusy, 'when two beats are here').toBe(true);
    await busy;
    expect((await client.call({ n: 'last' })).json).toMatchObject({ seen: ['busy', 'last'] });
  });

  it('drops a call whose deadline passes in the queue, and runs one at a time in the main thread', async () => {
    const { client } = await serve(sync);
    const first = client.call({ sleep: 0.5, n: 1 });
    const late = client.call({ n: 2 }, { timeout_ms: 50 });
    const third = client.call({ n: 3 });
    expect(await late).toMatchObject({ kind: 'failed', code: 'DEADLINE' });
    expect((await first).json).toMatchObject({ seen: [1] });
    expect((await third).json).toMatchObject({ seen: [1, 3], most: 1, thread: true });
  });

  it('changes its limits while it runs', async () => {
    const { client, agent } = await serve(sync, { max_ongoing: 2 });
    const first = client.call({ wait: 1, n: 1 });
    const second = client.call({ open: 1, n: 2 });
    await until(
      () => client.notifications.some((each) => each.event === 'beat' && each.ongoing === 2),
      'two ongoing',
    );
    expect(await client.call({})).toMatchObject({ reason: 'full' });
    expect(await agent.control({ op: 'limits', max_ongoing: 8, concurrency: 2 })).toEqual({ ok: true });
    await until(() => client.notifications.at(-1)?.event === 'state', 'new limits told');
    expect(client.notifications.at(-1)).toMatchObject({ state: { phase: 'ready', max_ongoing: 8 } });
    expect((await first).json).toMatchObject({ thread: true, most: 2 });
    expect((await second).json).toMatchObject({ thread: false });
    expect(await agent.control({ op: 'limits', max_ongoing: 8, concurrency: 1 })).toEqual({ ok: true });
    const rest = await Promise.all([1, 2, 3, 4].map(() => client.call({ sleep: 0.01 })));
    expect(rest.map((each) => each.json)).toEqual(
      rest.map(() => expect.objectContaining({ thread: true, most: 2 })),
    );
    expect(await agent.control({ op: 'limits', max_ongoing: 0, concurrency: 1 })).toMatchObject({
      ok: false,
    });
  });

  it('reconfigures a synchronous class between calls', async () => {
    const { client, agent } = await serve(sync, { concurrency: 2 });
    const running = [client.call({ sleep: 0.7 }), client.call({ sleep: 0.7 })];
    await until(
      () => client.notifications.some((each) => each.event === 'beat' && each.ongoing === 2),
      'two ongoing',
    );
    expect(await agent.control({ op: 'reconfigure', config: { a: 1 } })).toEqual({ ok: true });
    await Promise.all(running);
    expect((await client.call({})).json).toMatchObject({ config: [{ a: 1 }, 0] });
    const failed = await agent.control({ op: 'reconfigure', config: 'raise' });
    expect(failed).toMatchObject({ ok: false, error: expect.stringContaining('ValueError: no such config') });
    expect(failed).not.toHaveProperty('unsupported');
    expect((await client.call({})).json).toMatchObject({ config: [{ a: 1 }, 0] });
    expect(await client.control({ op: 'dump_stacks' }), 'an ingress has no say').toMatchObject({ ok: false });
  });

  it('reconfigures an asynchronous class beside its calls, and cancels its calls', async () => {
    const { client, agent } = await serve(asynchronous, { concurrency: 3 });
    expect(await agent.control({ op: 'health' })).toEqual({ ok: true });
    const waiting = client.request({ body: '{"wait": 1, "n": 1}' });
    const other = client.call({ wait: 1, n: 2 });
    expect(await agent.control({ op: 'reconfigure', config: [1] })).toEqual({ ok: true });
    client.send(FrameType.cancel, 0, waiting.stream);
    await expect
      .poll(async () => (await client.call({ n: 3 })).json)
      .toEqual({ seen: ['cancelled 1'], config: [1] });
    expect(await agent.control({ op: 'health' })).toMatchObject({ ok: false });
    await client.call({ open: 1 });
    expect((await other).json).toMatchObject({ config: [1] });
    const frames = client.frames.filter((frame) => frame.stream === waiting.stream);
    expect(frames, 'nothing is sent on a cancelled stream').toEqual([]);
  });

  it('cancels the calls of a client that has gone', async () => {
    const { client, replica } = await serve(asynchronous, { concurrency: 2 });
    const leaver = await replica.connect();
    leaver.request({ body: '{"wait": 1, "n": "left"}' });
    await until(
      () => client.notifications.some((each) => each.event === 'beat' && each.ongoing === 1),
      'one ongoing',
    );
    leaver.destroy();
    await expect.poll(async () => (await client.call({})).json).toMatchObject({ seen: ['cancelled left'] });
  });

  it('says that a class without reconfigure has none, and that it is healthy', async () => {
    const { agent, replica } = await serve(
      'class Backend:\n    def __init__(self, m): pass\n    def predict(self, p): pass\n',
    );
    expect(await agent.control({ op: 'reconfigure', config: 1 })).toEqual({ ok: false, unsupported: true });
    expect(await agent.control({ op: 'health' })).toEqual({ ok: true });
    expect(await agent.control({ op: 'dump_stacks' })).toEqual({ ok: true });
    await until(() => /Current thread.*most recent call first/s.test(replica.output()), 'stacks in the log');
  });

  it('holds a stream up at the window of its client, without holding up the others', async () => {
    const backend = `
class Backend:
    made = 0
    def __init__(self, m): pass
    async def __call__(self, request):
        return self.parts() if (await request.json()).get("stream") else self.made
    async def parts(self):
        for n in range(200):
            self.made = n + 1
            yield bytes(64 * 1024)
`;
    const { client } = await serve(backend, { concurrency: 2 });
    const { stream, outcome } = client.request({ body: '{"stream": 1}', grant: false });
    await until(() => client.dataBytes(stream) === 1024 * 1024, 'a full window');
    const made = (await client.call({})).json as number;
    expect(made, 'pieces of 64 KiB made for a window of 1 MiB').toBeLessThan(32);
    client.grant(stream, 64 * 1024 * 1024);
    const answer = await outcome;
    expect(answer.kind === 'response' && answer.body.equals(Buffer.alloc(200 * 64 * 1024))).toBe(true);
  });

  it.each([
    ['synchronous', sync],
    ['asynchronous', asynchronous],
  ])('loses count of nothing when clients cancel and leave at random (%s)', async (_, backend) => {
    const { client, replica } = await serve(backend, { max_ongoing: 8, concurrency: 2 });
    for (let round = 0; round < 6; round += 1) {
      const leaver = await replica.connect();
      for (let n = 0; n < 20; n += 1) {
        const { stream } = leaver.request({ body: '{"n": 0}', timeout_ms: Math.random() < 0.2 ? 0 : 5000 });
        if (Math.random() < 0.5) leaver.send(FrameType.cancel, 0, stream);
      }
      leaver.request({ open: true }); // a body that never comes
      await leaver.call({}).then(() => leaver.destroy());
    }
    const seen = client.notifications.length;
    await until(
      () => client.notifications.slice(seen).some((each) => each.event === 'beat' && each.ongoing === 0),
      'nothing ongoing',
    );
    const all = await Promise.all(Array.from({ length: 8 }, () => client.call({})));
    expect(all.map((each) => each.kind)).toEqual(Array(8).fill('response'));
  });

  it.each<[string, (client: ChannelClient) => void]>([
    ['a request before hello', (client) => client.request()],
    [
      'a stream number that is in use',
      (client) => {
        hello(client);
        const taken = head({ replica: 'Echo-test' });
        client.send(FrameType.request, 0, 1, taken);
        client.send(FrameType.request, FLAG_END, 1, taken);
      },
    ],
    [
      'a head that lacks fields',
      (client) => {
        hello(client);
        client.send(FrameType.request, FLAG_END, 1, '{"id": "x"}');
      },
    ],
    [
      'a head whose timeout is no number',
      (client) => {
        hello(client);
        client.send(FrameType.request, FLAG_END, 1, head({ replica: 'Echo-test', timeout_ms: 'x' }));
      },
    ],
    [
      'a payload that is not JSON',
      (client) => {
        hello(client);
        client.send(FrameType.control, 0, 1, '{');
      },
    ],
    [
      'a window that is no number',
      (client) => {
        hello(client);
        client.send(FrameType.window, 0, 1, 'abc');
      },
    ],
  ])('closes a connection that sends %s, and no other', async (_, misbehave) => {
    const { replica, client } = await serve(sync);
    const bad = new ChannelClient(replica.socket);
    onTestFinished(() => bad.destroy());
    misbehave(bad);
    await until(() => bad.closed, 'closed connection');
    expect(await client.call({})).toMatchObject({ status: 200 });
  });

  it('refuses another version of the protocol, naming both', async () => {
    const { replica } = await serve(sync);
    const future = new ChannelClient(replica.socket);
    onTestFinished(() => future.destroy());
    future.send(FrameType.hello, 0, 0, '{"protocol": 99, "role": "agent", "node": "n"}');
    await until(() => future.closed, 'closed connection');
    expect(future.goaway).toMatch(/99.*1/);
  });

  it('ignores frames of types that it does not know', async () => {
    const { client } = await serve(sync);
    client.send(200 as FrameType, 0, 0, 'from the future');
    expect(await client.call({})).toMatchObject({ status: 200 });
  });
});

function hello(client: ChannelClient): void {
  client.send(FrameType.hello, 0, 0, '{"protocol": 1, "role": "ingress", "node": "n"}');
}

function head(fields: Record<string, unknown> = {}): string {
  return JSON.stringify({
    id: 'x',
    replica: 'none',
    method: 'GET',
    path: '/',
    query: '',
    headers: [],
    timeout_ms: 1000,
    ...fields,
  });
}
