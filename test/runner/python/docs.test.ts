import { readFileSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { RequestOptions } from './channel-client.ts';
import { python } from './interpreters.ts';
import { TestReplica } from './replica.ts';

const text = readFileSync(new URL('../../../docs/backends.md', import.meta.url), 'utf8');
const examples = [...text.matchAll(/^```python\n(.*?)^```/gms)].map((match) => ({
  source: match[1] ?? '',
  name: /^class (\w+)/m.exec(match[1] ?? '')?.[1] ?? 'no class',
}));

const upload = '--b\r\ncontent-disposition: form-data; name=file; filename=a.txt\r\n\r\nabc\r\n--b--\r\n';
const expected: Record<string, { readonly ask: RequestOptions; readonly body: unknown }> = {
  Echo: { ask: { query: 'name=you' }, body: { status: 1, result: 'hello you' } },
  Blocking: { ask: { body: '{"numbers": [1, 2]}' }, body: { sum: 3, calls: 1 } },
  Upload: {
    ask: { body: upload, headers: [['content-type', 'multipart/form-data; boundary=b']] },
    body: { name: 'a.txt', bytes: 3 },
  },
  Counter: { ask: { query: 'to=2' }, body: '{"number":0}\n{"number":1}\n' },
  Squares: { ask: { body: '{"n": 3}' }, body: { square: 9, of: 3 } },
  Threshold: { ask: { body: '{"values": [0.1, 0.6, 0.9]}' }, body: { over: [0.9] } },
  Optional: { ask: {}, body: { accelerated: false } },
};

describe.skipIf(python === null)('examples of docs/backends.md', () => {
  it('are all expected here', () => {
    expect(examples.map((each) => each.name).sort()).toEqual(Object.keys(expected).sort());
  });

  it.each(examples)('$name does what the page says', async ({ name, source }) => {
    const launch = { backend: name, user_config: { threshold: 0.8 } };
    const replica = new TestReplica({ python: python?.path ?? '', backend: source, launch });
    onTestFinished(() => replica.dispose());
    const client = await (await replica.start().connect('agent')).ready();
    const outcome = await client.request(expected[name]?.ask ?? {}).outcome;
    const body = outcome.kind === 'response' ? outcome.body.toString() : JSON.stringify(outcome);
    const isText = typeof expected[name]?.body === 'string';
    expect(isText ? body : JSON.parse(body)).toEqual(expected[name]?.body);
    expect(await client.control({ op: 'health' })).toEqual({ ok: true });
    replica.signal('SIGTERM');
    expect(await replica.exited()).toMatchObject({ code: 0 });
    if (name === 'Threshold') expect(replica.output()).toContain('threshold was 0.8');
  });
});
