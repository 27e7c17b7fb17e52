import { appendFileSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ReplicaLogs } from '../../src/roles/replica-logs.ts';
import { ControlWorld } from '../controller/world.ts';
import { tempDir } from '../support/temp-dir.ts';

const NEVER = new AbortController().signal;

function logsOf(
  replicas: Readonly<Record<string, string>>,
  known: readonly string[] = Object.keys(replicas),
) {
  const logsDir = tempDir();
  mkdirSync(join(logsDir, 'Echo'));
  for (const [id, text] of Object.entries(replicas)) writeFileSync(join(logsDir, 'Echo', `${id}.log`), text);
  const logs = new ReplicaLogs(
    { nodeId: 'n1', linkKey: 'key', logsDir },
    {
      replicasOf: (deployment) =>
        deployment === 'Echo'
          ? known.map((id) => ({ nodeId: id.startsWith('far') ? 'n2' : 'n1', replicaId: id }))
          : [],
      nodeOf: (nodeId) => ({ ...new ControlWorld().record(nodeId), linkPort: 1 }),
    },
  );
  return { logs, file: (id: string) => join(logsDir, 'Echo', `${id}.log`), logsDir };
}

const query = (over: object = {}) => ({
  deployment: 'Echo',
  replicaId: null,
  lines: 100,
  follow: false,
  ...over,
});

async function all(lines: AsyncIterable<string>): Promise<string> {
  let text = '';
  for await (const chunk of lines) text += chunk;
  return text;
}

describe('output of a deployment', () => {
  it('of one replica is as it was written', async () => {
    const { logs } = logsOf({ a: 'one\ntwo\nthree' });
    expect(await all(await logs.open(query({ lines: 2 }), NEVER))).toBe('two\nthree\n');
  });

  it('of several says line by line whose it is', async () => {
    const { logs } = logsOf({ a: 'one\ntwo\n', b: 'ä\n' });
    const lines = (await all(await logs.open(query(), NEVER))).trimEnd().split('\n');
    expect([...lines].sort()).toEqual(['a  one', 'a  two', 'b  ä']);
    expect(lines.indexOf('a  one')).toBeLessThan(lines.indexOf('a  two'));
    expect(await all(await logs.open(query({ replicaId: 'b' }), NEVER))).toBe('ä\n');
  });

  it('shows the newest of those that are gone', async () => {
    const { logs, file } = logsOf({ a: 'a\n', b: 'b\n', c: 'c\n', d: 'd\n' }, []);
    utimesSync(file('c'), 1, 1);
    const text = await all(await logs.open(query(), NEVER));
    expect(text.trimEnd().split('\n').sort()).toEqual(['a  a', 'b  b', 'd  d']);
  });

  it('goes on as more is written, until the reader leaves', async () => {
    const { logs, file } = logsOf({ a: 'one\n' });
    const leave = new AbortController();
    let text = '';
    const reading = (async () => {
      for await (const chunk of await logs.open(query({ follow: true }), leave.signal)) text += chunk;
    })();
    await expect.poll(() => text).toBe('one\n');
    appendFileSync(file('a'), 'two\n');
    await expect.poll(() => text, { timeout: 5_000 }).toBe('one\ntwo\n');
    leave.abort();
    await reading;
  });

  it('ends at once for a reader that left before it began', async () => {
    const { logs } = logsOf({ a: 'one\n', b: 'two\n' });
    const leave = new AbortController();
    const lines = await logs.open(query({ follow: true }), leave.signal);
    leave.abort();
    await all(lines);
  });

  it('says in its place when a node cannot be reached', async () => {
    const { logs } = logsOf({ a: 'one\n' }, ['a', 'far']);
    const text = await all(await logs.open(query(), NEVER));
    expect(text).toContain('a  one\n');
    expect(text).toMatch(/far {2}\[the log on node n2 cannot be read: .+\]/);
  });
});

it.each(['Nothing', '..', '../Echo', '.', '', 'Echo/../Echo', '/etc'])(
  'there is none of %j',
  async (deployment) => {
    const { logs, logsDir } = logsOf({ a: 'one\n' });
    writeFileSync(join(logsDir, 'secret.log'), 'secret\n');
    await expect(logs.open(query({ deployment }), NEVER)).rejects.toMatchObject({ code: 'LOG_NOT_FOUND' });
  },
);
