import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callIngress } from '../../src/agent/ingress/ingress-client.ts';
import { ingressSocket, statePaths } from '../../src/config/paths.ts';
import type { DeploymentCounts } from '../../src/ingress/deployment-queue.ts';
import type { IngressState } from '../../src/ingress/state.ts';
import { identityOf, isRunning } from '../../src/lib/process/identity.ts';
import { Journal, type Language, writeChaos } from './support/chaos.ts';
import { TestHead } from './support/cluster.ts';
import { processesWith } from './support/processes.ts';
import { Project } from './support/project.ts';
import { until } from './support/until.ts';
import { Client } from './support/wire.ts';

const MIB = 1024 * 1024;
const languages: readonly Language[] = ['python', 'typescript'];

describe.each(languages)('replicas in %s', (language) => {
  const project = new Project();
  const journal = new Journal(project.dir);
  let head: TestHead;
  let client: Client;

  beforeAll(async () => {
    writeChaos(project, language);
    const base = {
      ...{ backend: 'Chaos', concurrency: 10, max_ongoing_requests: 20, min_ready_s: 0.3 },
      ...{ request_timeout_s: 600, 'env.JOURNAL': journal.path },
    };
    const one = { ...base, replicas: 1, concurrency: 1, max_ongoing_requests: 1 };
    project.sections({
      'Chaos.many': { ...base, route: 'many', replicas: 3 },
      'Chaos.once': { ...base, route: 'once', replicas: 2, retries: 0 },
      'Chaos.one': { ...one, route: 'one' },
      'Chaos.busy': { ...one, route: 'busy', replicas: 3 },
    });
    const conf = readFileSync(project.conf, 'utf8');
    project.write('conf.ini', conf.replace('[MODEL SERVE]', '[MODEL SERVE]\nmax_body = 200MiB'));
    head = await TestHead.start({ conf: project.conf });
    // a replica that dies before its change has settled would count as a failed start
    expect(await head.apply()).toMatchObject({ code: 0 });
    client = new Client((route) => head.url(route));
  });

  afterAll(async () => {
    await client?.close();
    await head?.dispose();
    project.remove();
    expect(processesWith(head?.stateDir ?? 'no head')).toEqual([]);
  });

  async function pids(name: string): Promise<readonly number[]> {
    const { deployments } = await head.status();
    const replicas = deployments.find((one) => one.name === name)?.replicas ?? [];
    return replicas.flatMap(({ pid, phase }) => (pid === null || phase !== 'ready' ? [] : [pid]));
  }

  /** What the ingress says of a deployment. */
  async function counts(name: string): Promise<DeploymentCounts> {
    const socketPath = ingressSocket(statePaths(head.stateDir).sockets);
    const asked = { socketPath, method: 'GET', path: '/state', timeoutMs: 5_000 } as const;
    const state = (await callIngress(asked)) as IngressState;
    const found = state.deployments.find(({ deployment }) => deployment === name);
    if (found === undefined) throw new Error(`the ingress knows no ${name}`);
    return found;
  }

  /** Requests that are all in user code, which of them are at which process, and what they come to. */
  async function hold(route: string, names: readonly string[]) {
    const gate = journal.gate(names[0] ?? '');
    const replies = names.map((n) => client.ask(route, { op: 'hold', n, gate: gate.path }));
    const begun = () => journal.lines('begun').filter(([n]) => names.includes(n ?? ''));
    await until('all to be in user code', () => begun().length === names.length);
    const at = new Map<number, string[]>();
    for (const [n = '', pid] of begun()) at.set(Number(pid), [...(at.get(Number(pid)) ?? []), n]);
    const [victim = 0, lost = []] = [...at].sort(([, one], [, other]) => other.length - one.length)[0] ?? [];
    return { gate, replies: Promise.all(replies), begun, victim, lost };
  }

  const numbered = (prefix: string, count: number) =>
    Array.from({ length: count }, (_, n) => `${prefix}${n}`);

  async function replaced(name: string, victims: readonly number[], count: number): Promise<void> {
    await until(
      `${name} to be whole again`,
      async () => {
        const now = await pids(name);
        return now.length === count && victims.every((victim) => !now.includes(victim));
      },
      60_000,
    );
  }

  it('one is killed in the middle of 20 requests, and no client sees an error', async () => {
    const { gate, replies, begun, victim, lost } = await hold('many', numbered('killed-', 20));
    expect(lost.length).toBeGreaterThan(0);
    process.kill(victim, 'SIGKILL');
    await until('what it had to be elsewhere', () => begun().length > 20);
    gate.open();
    const answers = await replies;
    expect(answers.map(({ status, json }) => [status, json['n']])).toEqual(
      numbered('killed-', 20).map((n) => [200, n]),
    );
    expect(answers.map(({ json }) => json['pid'])).not.toContain(victim);
    await replaced('Chaos.many', [victim], 3);
  });

  it('one is killed with retries = 0, and exactly its requests get 502', async () => {
    const names = numbered('once-', 8);
    const { gate, replies, victim, lost } = await hold('once', names);
    process.kill(victim, 'SIGKILL');
    await replaced('Chaos.once', [victim], 2);
    gate.open();
    const answers = await replies;
    expect(names.filter((_, at) => answers[at]?.status === 502).sort()).toEqual([...lost].sort());
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(8 - lost.length);
  });

  it('a query of death kills two, not the third, and status names it', async () => {
    const before = await pids('Chaos.many');
    const reply = await client.ask('many', { op: 'die' }, { headers: { 'x-request-id': 'deadly-query' } });
    expect(reply).toMatchObject({ status: 502, json: { code: 'REPLICA_DIED', request_id: 'deadly-query' } });
    const dead = journal.lines('died').map(([pid]) => Number(pid));
    expect(dead).toHaveLength(2);
    await replaced('Chaos.many', dead, 3);
    const now = await pids('Chaos.many');
    expect(before.filter((pid) => now.includes(pid))).toHaveLength(1);
    const lost = await until('status to name it', async () => {
      const { deployments } = await head.status();
      const of = deployments.find(({ name }) => name === 'Chaos.many')?.lost_requests ?? [];
      return of.find(({ request_id }) => request_id === 'deadly-query');
    });
    expect(lost).toMatchObject({ path: '/many', deaths: 2 });
  });

  it('one has forked a child that outlives it, and its death shows all the same', async () => {
    const { json } = await client.ask('once', { op: 'fork' });
    const pid = Number(json['pid']);
    const child = identityOf(Number(json['child']));
    expect(child !== null && isRunning(child)).toBe(true);
    process.kill(pid, 'SIGKILL');
    await replaced('Chaos.once', [pid], 2);
    expect(child !== null && isRunning(child)).toBe(false);
  });

  it('one is stopped: it gets nothing new, is replaced, and what it had is answered by others', async () => {
    const { gate, replies, victim } = await hold('many', numbered('stopped-', 6));
    process.kill(victim, 'SIGSTOP');
    await until('the ingress to suspect it', async () => (await counts('Chaos.many')).ready === 2);
    const others = await Promise.all(numbered('', 10).map((n) => client.ask('many', { op: 'pid', n })));
    expect(others.map(({ status }) => status)).toEqual(others.map(() => 200));
    expect(others.map(({ json }) => json['pid'])).not.toContain(victim);
    await replaced('Chaos.many', [victim], 3);
    gate.open();
    expect((await replies).map(({ status }) => status)).toEqual(Array(6).fill(200));
  });

  it('ones that are busy for longer than a hang takes are left alone, while deadlines fire', async () => {
    const before = await pids('Chaos.busy');
    const ways = ['sleep', 'computes', 'native'];
    let isOneOver = false;
    const busy = ways.map(async (how) => {
      const reply = await client.ask('busy', { op: 'busy', n: how, how, s: 13 });
      isOneOver = true;
      return reply;
    });
    const begun = () => journal.lines('begun').filter(([n]) => ways.includes(n ?? ''));
    await until('all to be busy', () => begun().length === 3);
    const late = { headers: { 'x-request-timeout-seconds': '0.2' } };
    expect(await client.ask('busy', { op: 'pid' }, late)).toMatchObject({ status: 504 });
    expect(isOneOver, 'when the deadline has fired').toBe(false);
    const replies = await Promise.all(busy);
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(replies.map(({ json }) => json['pid']).sort()).toEqual([...before].sort());
    expect([...(await pids('Chaos.busy'))].sort()).toEqual([...before].sort());
  });

  it('a client that leaves frees its place: its call is cancelled, and what it had queued is dropped', async () => {
    const gate = journal.gate('never');
    const [running, queued] = [new AbortController(), new AbortController()];
    const asked = { op: 'hold', gate: gate.path };
    const first = client.ask('one', { ...asked, n: 'left' }, { signal: running.signal }).catch(() => 'left');
    const begun = () => journal.lines('begun').map(([n]) => n);
    await until('the first to run', () => begun().includes('left'));
    const second = client
      .ask('one', { ...asked, n: 'dropped' }, { signal: queued.signal })
      .catch(() => 'left');
    const third = client.ask('one', { op: 'pid', n: 'third' });
    await until('two to wait', async () => (await counts('Chaos.one')).queued === 2);
    queued.abort();
    running.abort();
    expect(await Promise.all([first, second])).toEqual(['left', 'left']);
    expect((await third).status, 'while the call that was left would go on for ever').toBe(200);
    expect(journal.lines('cancelled')).toContainEqual(['left']);
    expect(begun()).not.toContain('dropped');
  });

  it('a stream ends with its client, goes as slowly as it reads, and says when it breaks', async () => {
    const left = await client.open('one', { op: 'stream', n: 'left-stream' });
    for await (const _part of left.body) break;
    await until('the generator to be closed', () =>
      journal.lines('closed').some(([n]) => n === 'left-stream'),
    );

    const ingress = processesWith(head.stateDir).filter(({ command }) => command.includes('ingress-main'));
    const residentBytes = () => ingress.reduce((sum, { pid }) => sum + rssBytes(pid), 0);
    const before = residentBytes();
    const slow = await client.open('one', { op: 'stream', n: 'slow' });
    let made = -1;
    let quiet = 0;
    await until('the generator to wait', () => {
      const now = journal.lines('made').length;
      quiet = now === made ? quiet + 1 : 0;
      made = now;
      return quiet === 20;
    });
    expect(residentBytes() - before).toBeLessThan(32 * MIB);
    slow.body.destroy();
    slow.body.on('error', () => {});
    await until('it to be closed, too', () => journal.lines('closed').some(([n]) => n === 'slow'));

    const events = { headers: { accept: 'text/event-stream' } };
    const broken = await client.open('one', { op: 'stream', n: 'broken', fail: 3 }, events);
    expect(broken.headers['content-type']).toBe('text/event-stream');
    let text = '';
    const read = async () => {
      for await (const part of broken.body) text += String(part);
    };
    await expect(read(), 'no proper end').rejects.toThrow();
    expect(text).toMatch(/^data: \{"made":1,.*\n\n[\s\S]*event: error\ndata: \{.*BACKEND_ERROR.*\n\n$/);
  });

  it('bodies of 100 MB pass, and the ingress does not hold them', async () => {
    const ingress = processesWith(head.stateDir).filter(({ command }) => command.includes('ingress-main'));
    const before = ingress.reduce((sum, { pid }) => sum + rssBytes(pid), 0);
    const filler = 'x'.repeat(100 * 1000 * 1000);
    const reply = await client.ask('one', { op: 'pid', n: 'large', filler });
    expect(reply).toMatchObject({ status: 200, json: { n: 'large' } });
    const after = ingress.reduce((sum, { pid }) => sum + rssBytes(pid), 0);
    expect(after - before).toBeLessThan(64 * MIB);
  });
});

/** What a process holds in memory now. */
function rssBytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes) * 1024;
}
