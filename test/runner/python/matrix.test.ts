import { describe, expect, it, onTestFinished } from 'vitest';
import { interpreters } from './interpreters.ts';
import { referenceTemplate as template } from './reference-template.ts';
import { type ReplicaOptions, TestReplica } from './replica.ts';

// The core of it under every interpreter there is; the full suite runs on one of them.

function replicaOf(options: ReplicaOptions): TestReplica {
  const replica = new TestReplica(options);
  onTestFinished(() => replica.dispose());
  return replica;
}

describe.each(interpreters)('CPython $version', ({ path }) => {
  it('serves the template of the reference unmodified, and drains', async () => {
    const inference = template.replace(
      '        # Add by user\n        pass\n\n    async',
      "        return {'text': param_dict['text'][::-1], '中文': True}\n\n    async",
    );
    const replica = replicaOf({
      python: path,
      backend: inference,
      launch: { backend: 'algo_backend', user_config: { a: 1 } },
    });
    replica.start();
    const client = await (await replica.connect('agent')).ready();
    const good = await client.call({ text: 'abc' });
    expect(good).toMatchObject({
      kind: 'response',
      status: 200,
      ok: true,
      headers: { 'content-type': 'application/json' },
      json: { status: 1, result: { text: 'cba', 中文: true } },
    });
    expect(await client.call({})).toMatchObject({ status: 200, ok: false, json: { status: 0 } });
    expect(await client.request({ query: 'text=%C3%BCa' }).outcome).toMatchObject({ ok: true });
    expect(await client.control({ op: 'drain', grace_ms: 1000 })).toEqual({ ok: true });
    expect(await replica.exited()).toEqual({ code: 0, signal: null });
    expect(client.goaway).toBe('draining');
    expect(replica.output()).toContain("'中文': True");
  });

  it('calls a template whose model is missing a failed start', async () => {
    const replica = replicaOf({
      python: path,
      backend: template,
      launch: { backend: 'algo_backend', model_path: '/nowhere,model.pb' },
    });
    replica.start();
    const client = await replica.connect('agent');
    expect(await replica.exited()).toMatchObject({ code: 1 });
    const failed = client.hello?.state.error ?? client.notifications.find((each) => each.event === 'state');
    expect(JSON.stringify(failed)).toContain('AssertionError: Model Not Found');
  });

  it('runs a synchronous class in threads, streams a generator and closes it', async () => {
    const backend = `
import threading
barrier = threading.Barrier(2)
class Backend:
    def __init__(self, model_path):
        self.closed = threading.Event()
    def __call__(self, request):
        if request.json().get("meet"):
            return {"main": barrier.wait(10) >= 0}
        if request.json().get("closed"):
            return self.closed.wait(10)
        return self.numbers()
    def numbers(self):
        try:
            for n in range(10**9):
                yield {"n": n, "filler": "x" * 4000}
        finally:
            self.closed.set()
`;
    const replica = replicaOf({ python: path, backend, launch: { concurrency: 2 } });
    replica.start();
    const client = await (await replica.connect()).ready();
    const met = await Promise.all([client.call({ meet: 1 }), client.call({ meet: 1 })]);
    expect(met.map((each) => each.json)).toEqual([{ main: true }, { main: true }]);
    const { stream } = client.request({ body: '{}', grant: false });
    await expect.poll(() => client.dataBytes(stream), { timeout: 10_000 }).toBe(1024 * 1024);
    client.send(6, 0, stream);
    expect((await client.call({ closed: 1 })).json).toBe(true);
  });
});

it('finds at least one interpreter, else nothing above ran', () => {
  expect(interpreters.map((each) => each.version)).not.toEqual([]);
});
