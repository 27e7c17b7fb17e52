import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FrameType } from '../../../src/channel/frames.ts';
import { identityOf, isRunning } from '../../../src/lib/process/identity.ts';
import { interpreters, python } from './interpreters.ts';
import { TestReplica } from './replica.ts';
import { until } from './until.ts';

const backend = `
import os, sys, threading, time
class Backend:
    def __init__(self, model_path):
        self.gate = threading.Event()
    def predict(self, p):
        if "sleep" in p:
            time.sleep(p["sleep"])
        if "write" in p:
            for n in range(p["lines"]):
                os.write(1, p["write"].encode() + b"\\n")
        return os.getpid()
    def shutdown(self):
        print("shutdown() was called")
`;

function replicaOf(
  text: string,
  launch: Record<string, unknown> = {},
  path = python?.path ?? '',
): TestReplica {
  const replica = new TestReplica({ python: path, backend: text, launch });
  onTestFinished(() => replica.dispose());
  return replica;
}

describe.skipIf(python === null)('a replica', () => {
  it.each<[string, string, (replica: TestReplica) => Promise<unknown>]>([
    [
      'drain',
      backend,
      async (replica) => (await replica.connect('agent')).control({ op: 'drain', grace_ms: 5000 }),
    ],
    ['SIGTERM', backend, async (replica) => replica.signal('SIGTERM')],
    [
      'SIGTERM, asynchronous',
      backend.replace('    def predict(self, p):', '    async def predict(self, p):'),
      async (replica) => replica.signal('SIGTERM'),
    ],
  ])('finishes what runs, calls shutdown() and ends with 0: %s', async (_, text, end) => {
    const replica = replicaOf(text).start();
    const client = await (await replica.connect()).ready();
    const running = client.call({ sleep: 0.5 });
    const queued = client.call({});
    await until(
      () => client.notifications.some((each) => each.event === 'beat' && each.ongoing >= 1),
      'it runs',
    );
    await end(replica);
    expect(await running).toMatchObject({ json: replica.pid });
    expect(await queued).toMatchObject({ json: replica.pid });
    expect(await replica.exited()).toEqual({ code: 0, signal: null });
    expect(client.phase).toBe('draining');
    expect(replica.output()).toContain('shutdown() was called');
    expect(existsSync(replica.socket)).toBe(false);
  });

  it('leaves its last answers to an ingress that writes while it ends', async () => {
    const replica = replicaOf(backend).start();
    const agent = await (await replica.connect('agent')).ready();
    const ingress = await (await replica.connect('ingress')).ready();
    const answer = ingress.call({ sleep: 1 });
    await until(
      () => ingress.notifications.some((each) => each.event === 'beat' && each.ongoing >= 1),
      'it runs',
    );
    ingress.pause();
    await agent.control({ op: 'drain', grace_ms: 5000 });
    ingress.send(FrameType.pong, 0, 0, 'go away?');
    await until(() => agent.closed, 'the end');
    ingress.grant(1, 1); // a write that failed would end the connection before its answer was read
    await new Promise((resolve) => setImmediate(resolve));
    ingress.resume();
    expect(await answer).toMatchObject({ json: replica.pid });
    expect(await replica.exited()).toEqual({ code: 0, signal: null });
  });

  it('refuses, and does not lose, what an ingress sent before it knew of the drain', async () => {
    const replica = replicaOf(backend).start();
    const agent = await (await replica.connect('agent')).ready();
    const ingress = await (await replica.connect('ingress')).ready();
    ingress.answersPings = false;
    await agent.control({ op: 'drain', grace_ms: 60_000 });
    await until(() => ingress.frames.some((frame) => frame.type === FrameType.ping), 'the question');
    expect(await ingress.call({}), 'it was on its way').toEqual({ kind: 'refused', reason: 'draining' });
    ingress.send(FrameType.pong, 0, 0, 'go away?');
    expect(await replica.exited(3_000)).toEqual({ code: 0, signal: null });
  });

  it('cuts off what outlasts the grace, and ends although user code does not return', async () => {
    const replica = replicaOf(backend).start();
    const agent = await (await replica.connect('agent')).ready();
    const running = agent.call({ sleep: 60 });
    const queued = agent.call({});
    await until(
      () => agent.notifications.some((each) => each.event === 'beat' && each.ongoing === 2),
      'both are there',
    );
    await agent.control({ op: 'drain', grace_ms: 50 });
    expect(await running).toMatchObject({ kind: 'failed', code: 'REPLICA_STOPPED' });
    expect(await queued, 'not begun: may go elsewhere').toEqual({ kind: 'refused', reason: 'draining' });
    expect(await replica.exited()).toEqual({ code: 0, signal: null });
  });

  it('ends at once when it is told to while it constructs', async () => {
    const replica = replicaOf(backend.replace('self.gate =', 'time.sleep(60); self.gate =')).start();
    const agent = await replica.connect('agent');
    await agent.control({ op: 'drain', grace_ms: 60_000 });
    expect(await replica.exited(3_000)).toEqual({ code: 0, signal: null });
  });

  it('ends itself when no agent has come for a while, not before', async () => {
    const replica = replicaOf(backend, { orphan_timeout_s: 0.7 }).start();
    const ingress = await (await replica.connect('ingress')).ready();
    const agent = await replica.connect('agent');
    const beats = ingress.notifications.length;
    await until(() => ingress.notifications.length >= beats + 3, 'a second and a half with an agent');
    expect(ingress.phase).toBe('ready');
    agent.destroy();
    expect(await replica.exited()).toEqual({ code: 0, signal: null });
    expect(replica.output()).toContain('no agent for 0.7 s');
  });

  it('replaces the socket file of a dead replica, not that of a living process', async () => {
    const replica = replicaOf(backend);
    const holder = createServer().listen(replica.socket);
    await until(() => existsSync(replica.socket), 'a socket that is in use');
    replica.start();
    expect(await replica.exited()).toMatchObject({ code: 1 });
    expect(replica.output()).toContain('another process listens on it');
    await new Promise((resolve) => holder.close(resolve));

    const first = replicaOf(backend).start();
    await (await first.connect()).ready();
    process.kill(first.pid, 'SIGKILL');
    await first.exited();
    expect(existsSync(first.socket)).toBe(true);
    const again = await (await first.start().connect()).ready();
    expect(await again.call({})).toMatchObject({ json: first.pid });
    expect(statSync(first.socket).mode & 0o777).toBe(0o600);
  });

  it('rotates its log while it writes, for its children too, and loses no line', async () => {
    const replica = replicaOf(`${backend}\nprint("grüße")\nos.system("echo from a child")`, {
      log_max_bytes: 20_000,
      log_files: 3,
    }).start();
    const client = await (await replica.connect()).ready();
    for (let turn = 0; turn < 4; turn += 1) {
      await client.call({ write: `turn ${turn} ${'x'.repeat(90)}`, lines: 250 });
      const size = (): number =>
        statSync(replica.log, { throwIfNoEntry: false })?.size ?? Number.POSITIVE_INFINITY;
      await until(() => size() < 20_000, 'a new log file');
    }
    const files = readdirSync(replica.folder)
      .filter((name) => name.startsWith('replica.log'))
      .sort();
    expect(files).toEqual(['replica.log', 'replica.log.1', 'replica.log.2']);
    const newest = readFileSync(`${replica.log}.1`, 'utf8');
    expect(newest.match(/turn 3/g), 'lines of the last turn').toHaveLength(250);
    expect(readFileSync(`${replica.log}.2`, 'utf8').match(/turn 2/g)).toHaveLength(250);
  });

  it('writes what it prints to the log line by line, whatever the locale', async () => {
    const replica = replicaOf(`${backend}\nprint("grüße 中")\nos.system("echo from a child")`).start();
    await (await replica.connect()).ready();
    expect(replica.output()).toBe('grüße 中\nfrom a child\n');
  });

  it('leaves the stacks of a crash in its log', async () => {
    const replica = replicaOf(backend).start();
    const client = await (await replica.connect()).ready();
    void client.call({ sleep: 60 });
    await until(
      () => client.notifications.some((each) => each.event === 'beat' && each.ongoing === 1),
      'it runs',
    );
    replica.signal('SIGABRT');
    expect(await replica.exited()).toMatchObject({ signal: 'SIGABRT' });
    expect(replica.output()).toMatch(/Fatal Python error: Aborted.*in predict/s);
  });
});

const oldestAndNewest = [...new Set([interpreters[0], interpreters.at(-1)])].filter(
  (one) => one !== undefined,
);

describe.each(oldestAndNewest)(
  'without its output, the log of a replica under CPython $version',
  ({ path }) => {
    const telling = `
import logging, os, subprocess, sys
class Backend:
    def __init__(self, model_path):
        print("constructed")
    def predict(self, p):
        print(p)
        sys.stderr.write(p["secret"])
        logging.error(p["secret"])
        os.write(1, p["secret"].encode())
        subprocess.run(["echo", p["secret"]])
        try:
            raise ValueError(p["secret"])
        except ValueError as error:
            raise KeyError(p["secret"]) from error
    def shutdown(self):
        raise RuntimeError("at the end")
`;

    it('has the kinds and places of failures, and nothing of what was sent', async () => {
      const launch = { log_output: false, log_max_bytes: 200 };
      const replica = replicaOf(telling, launch, path).start();
      const agent = await (await replica.connect('agent')).ready();
      const client = await (await replica.connect()).ready();
      await client.call({ secret: 'from-a-client' });
      const text = (): string => replica.output();
      expect(text()).toMatch(
        /request request-1 failed:\n {4}File .*in predict\n.*\n {2}ValueError\n {2}which led to/,
      );
      expect(text()).toMatch(/\n {2}KeyError\n/);
      expect(text()).not.toMatch(/from-a-client|constructed/);
      await until(() => existsSync(`${replica.log}.1`), 'the rotation of a log of its own');
      await agent.control({ op: 'drain', grace_ms: 5000 });
      await replica.exited();
      expect(text()).toMatch(/^shutdown\(\) failed:\n.*\n.*\n {2}RuntimeError\n$/);
    });
  },
);

describe.each(interpreters)('forked children under CPython $version', ({ path }) => {
  const forking = `
import multiprocessing, os, signal, time
class Backend:
    def __init__(self, model_path):
        self.child = None
    def predict(self, p):
        if p.get("end"):
            self.child.terminate()
            self.child.join()
            return self.child.exitcode
        self.child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        self.child.start()
        return self.child.pid
`;

  it('do not keep the channel open, nor drain their parent when they are terminated', async () => {
    const replica = replicaOf(forking, {}, path).start();
    const client = await (await replica.connect()).ready();
    await client.call({});
    expect(await client.call({ end: 1 })).toMatchObject({ json: -15 });
    const child = identityOf((await client.call({})).json as number);
    expect(client.phase, 'after a child got SIGTERM').toBe('ready');
    process.kill(replica.pid, 'SIGKILL');
    await until(() => client.closed, 'closed connection');
    expect(child !== null && isRunning(child)).toBe(true);
  });
});
