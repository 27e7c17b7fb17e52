import { appendFileSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { LogQuery } from '../../src/admin/types.ts';
import { LiveSecrets } from '../../src/lib/live-secrets.ts';
import { ClusterLogs } from '../../src/roles/cluster-logs.ts';
import { byTime, type LineSource } from '../../src/roles/merge-lines.ts';
import { ControlWorld } from '../controller/world.ts';
import { tempDir } from '../support/temp-dir.ts';

const NEVER = new AbortController().signal;

function logsOf(
  replicas: Readonly<Record<string, string>>,
  known: readonly string[] = Object.keys(replicas),
) {
  const root = tempDir();
  const logsDir = join(root, 'replicas');
  mkdirSync(join(logsDir, 'Echo'), { recursive: true });
  for (const [id, text] of Object.entries(replicas)) writeFileSync(join(logsDir, 'Echo', `${id}.log`), text);
  const logs = new ClusterLogs(
    {
      nodeId: 'n1',
      linkKeys: new LiveSecrets('key'),
      tls: null,
      paths: { logs: root, replicaLogs: logsDir },
    },
    {
      replicasOf: (deployment) =>
        deployment === 'Echo'
          ? known.map((id) => ({ nodeId: id.startsWith('far') ? 'n2' : 'n1', replicaId: id }))
          : [],
      isDeployed: (deployment) => ['Echo', 'Waits'].includes(deployment),
      nodes: () => ['n1', 'n2'].map((id) => ({ ...new ControlWorld().record(id), linkPort: 1 })),
    },
  );
  return { logs, root, file: (id: string) => join(logsDir, 'Echo', `${id}.log`), logsDir };
}

const ofRequest = { of: 'request', deployment: null, sinceMs: null } as const;

const query = (over: object = {}) => ({
  of: 'replicas' as const,
  node: null,
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

  it('of one that has no replicas yet is empty, and over; a replica that there is not is a mistake', async () => {
    const { logs } = logsOf({});
    const waiting = { deployment: 'Waits', follow: true };
    expect(await all(await logs.open(query(waiting), NEVER))).toBe('');
    const unknown = logs.open(query({ ...waiting, replicaId: 'a' }), NEVER);
    await expect(unknown).rejects.toMatchObject({ code: 'LOG_NOT_FOUND' });
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

describe('what modelserve itself writes', () => {
  const component = (over: object = {}) => ({
    ...{ of: 'component', component: 'agent', node: null, lines: 100, follow: false, sinceMs: null },
    ...over,
  });
  const lineAt = (second: number): string => `{"level":"info","time":"2026-01-31T08:00:0${second}.000Z"}`;
  const open = async (over: object = {}): Promise<string> => {
    const { logs, root } = logsOf({});
    writeFileSync(join(root, 'agent.log'), `${lineAt(1)}\n${lineAt(2)}\nno JSON\n`);
    return await all(await logs.open(component({ node: 'n1', ...over }) as LogQuery, NEVER));
  };

  it('says on which node it was written', async () => {
    const lines = (await open()).trimEnd().split('\n');
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      node: 'n1',
      level: 'info',
      time: '2026-01-31T08:00:01.000Z',
    });
    expect(lines.slice(2)).toEqual(['no JSON']);
  });

  it('begins where it is asked to', async () => {
    const text = await open({ sinceMs: Date.parse('2026-01-31T08:00:02Z'), lines: 0 });
    expect(text).toContain('08:00:02');
    expect(text).not.toContain('08:00:01');
    expect((await open({ lines: 1 })).trimEnd()).toBe('no JSON');
  });

  it('is nothing where a node has no such part, and a mistake where there is no such node', async () => {
    expect(await open({ component: 'admin' })).toBe('');
    await expect(open({ node: 'n9' })).rejects.toThrow('there is no node n9; nodes: n1, n2');
  });

  it('is put together in the order of its times', async () => {
    const source = (...seconds: number[]): LineSource => ({
      open: async function* () {
        for (const second of seconds) yield Buffer.from(second === 0 ? 'raw\n' : `${lineAt(second)}\n`);
      },
      mark: (line) => line,
    });
    const text = await all(byTime([source(0), source(1, 4, 5), source(2, 0, 3, 6), source()], NEVER));
    const lines = text.trimEnd().split('\n');
    const order = [lineAt(1), lineAt(2), 'raw', lineAt(3), lineAt(4), lineAt(5), lineAt(6), 'raw'];
    expect(lines).toEqual(order);
  });

  it('of a request is found with what replicas wrote of it, in older files, too', async () => {
    const { logs, root, file } = logsOf({
      a: 'request id-1 failed:\n  Traceback\n    line 3\n  ValueError\nother\n  more\n',
    });
    writeFileSync(`${file('a')}.1`, 'older id-1\nrequest id-2 failed:\n  Traceback');
    writeFileSync(join(root, 'ingress.log'), '{"requestId":"id-1"}\n{"requestId":"id-2"}\n');
    const request = { ...ofRequest, node: 'n1', requestId: 'id-1' };
    expect(await all(await logs.open(request, NEVER))).toBe(
      '{"node":"n1","requestId":"id-1"}\n' +
        'a  older id-1\na  request id-1 failed:\na    Traceback\na      line 3\na    ValueError\n',
    );
    expect(await all(await logs.open({ ...request, deployment: 'Other' }, NEVER))).toBe(
      '{"node":"n1","requestId":"id-1"}\n',
    );
  });

  it('is of a time on, where lines say when they were written', async () => {
    const { logs, root } = logsOf({ a: 'request id-1 failed: {"time":"2026-01-31T07:00:00Z"}\n' });
    const line = (hour: number) => `{"time":"2026-01-31T0${hour}:00:00.000Z","requestId":"id-1"}\n`;
    writeFileSync(join(root, 'ingress.log'), line(7) + line(9));
    const request = { ...ofRequest, node: 'n1', requestId: 'id-1' };
    const text = await all(
      await logs.open({ ...request, sinceMs: Date.parse('2026-01-31T08:00:00Z') }, NEVER),
    );
    expect(text).toBe(
      `{"node":"n1",${line(9).slice(1)}a  request id-1 failed: {"time":"2026-01-31T07:00:00Z"}\n`,
    );
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
