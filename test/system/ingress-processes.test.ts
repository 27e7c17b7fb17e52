import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ingressSocket, statePaths } from '../../src/config/paths.ts';
import type { IngressState } from '../../src/ingress/state.ts';
import { freePorts, TestHead } from './support/cluster.ts';
import { steadyLoad } from './support/load.ts';
import { echoSource, Project } from './support/project.ts';
import { until } from './support/until.ts';

/** Answers when the file is there: `Sleeping` lets other threads run until then, `Computing` never gives its thread away. */
function heldSource(file: string, wait: string): string {
  return `
import os, time

class Backend(object):
    def __init__(self, model_path):
        pass

    def __call__(self, request):
        while not os.path.exists(${JSON.stringify(file)}):
            ${wait}
        return {'status': 1}
`;
}

interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
}

describe('[MODEL SERVE] ingress_processes', () => {
  const project = new Project();
  const release = join(project.dir, 'release');
  const common = { backend: 'Backend', min_ready_s: 0.2, cpu_cost: 0.05 };
  const held = { ...common, max_ongoing_requests: 1, max_queued_requests: 3 };
  const agents: http.Agent[] = [];
  let head: TestHead;
  let port: number;

  function write(processes: number): void {
    project.sections({
      Echo: { ...common, route: 'echo' },
      Sleeping: { ...held, route: 'sleeping' },
      Computing: { ...held, route: 'computing' },
    });
    const text = readFileSync(project.conf, 'utf8');
    writeFileSync(
      project.conf,
      text.replace(/port = .*/, `port = ${port}\ningress_processes = ${processes}`),
    );
  }

  beforeAll(async () => {
    const [store = 0, admin = 0, free = 0] = await freePorts(3);
    port = free;
    project.package('Echo', echoSource());
    project.package('Sleeping', heldSource(release, 'time.sleep(0.02)'));
    project.package('Computing', heldSource(release, 'sum(range(1000))'));
    write(2);
    head = new TestHead([store, admin, port], { conf: project.conf, httpPortOfConf: true });
    head.launch();
    await head.says(/^ready\b/im);
  });

  afterEach(() => {
    for (const agent of agents.splice(0)) agent.destroy();
    rmSync(release, { force: true });
  });

  afterAll(async () => {
    await head?.dispose();
    project.remove();
  });

  function ask(
    path: string,
    options: { readonly agent?: http.Agent; readonly port?: number } = {},
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const request = http.request(
        { host: '127.0.0.1', port, method: 'POST', path, ...options, agent: options.agent ?? false },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (chunk) => {
            text += chunk;
          });
          response.on('error', reject);
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
          );
        },
      );
      request.on('error', reject);
      request.end(path.startsWith('/-/') ? undefined : '{}');
    });
  }

  function state(): Promise<IngressState> {
    const socketPath = ingressSocket(statePaths(head.stateDir).sockets);
    return new Promise((resolve, reject) => {
      const request = http.get({ socketPath, path: '/state', agent: false }, (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += String(chunk);
        });
        response.on('error', reject);
        response.on('end', () => resolve(JSON.parse(text)));
      });
      request.on('error', reject);
    });
  }

  /** Pids of the processes that take connections, the main one first. */
  async function processes(count: number): Promise<readonly number[]> {
    return await until(
      `${count} processes`,
      async () => {
        const there = (await state()).processes.filter(({ phase }) => phase !== 'leaving');
        const isComplete = there.length === count && there.every(({ phase }) => phase !== 'starting');
        return isComplete ? there.map(({ pid }) => pid) : null;
      },
      60_000,
    );
  }

  /** So many connections to each process, kept open. */
  async function connections(count: number): Promise<ReadonlyMap<number, readonly http.Agent[]>> {
    const by = new Map<number, http.Agent[]>((await processes(2)).map((pid) => [pid, []]));
    await until('connections to each process', async () => {
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
      agents.push(agent);
      const answer = await new Promise<string>((resolve, reject) => {
        const request = http.get({ host: '127.0.0.1', port, path: '/-/healthz', agent }, (response) => {
          response.on('data', (chunk) => resolve(String(chunk)));
        });
        request.on('error', reject);
      });
      by.get((JSON.parse(answer) as { pid: number }).pid)?.push(agent);
      return [...by.values()].every((pinned) => pinned.length >= count);
    });
    return new Map([...by].map(([pid, pinned]) => [pid, pinned.slice(0, count)]));
  }

  it.each([['sleeping'], ['computing']])(
    'takes what is ongoing and queued per process while a call of %s holds the replica',
    async (route) => {
      const byPid = await connections(8);
      const [main = 0, helper = 0] = byPid.keys();
      const outcomes: { readonly pid: number; readonly answer: Promise<Answer> }[] = [];
      const refused: Answer[] = [];
      const send = (pid: number) => {
        for (const agent of byPid.get(pid) ?? []) {
          const answer = ask(`/${route}`, { agent });
          outcomes.push({ pid, answer });
          void answer.then((one) => one.status !== 200 && refused.push(one)).catch(() => {});
        }
      };
      const loadOf = async (pid: number) =>
        (await state()).processes.find((one) => one.pid === pid) ?? { inFlight: 0, queued: 0 };
      send(helper);
      await until('the helper to be full', async () => {
        const { inFlight, queued } = await loadOf(helper);
        return inFlight === 1 && queued === 3 && refused.length === 4;
      });
      send(main); // it finds no room at the replica
      await until('the main process to be full', async () => {
        const { inFlight, queued } = await loadOf(main);
        return inFlight + queued >= 3 && refused.length >= 8;
      });
      for (const { status, headers, text } of refused) {
        expect({ status, headers }).toMatchObject({
          status: 429,
          headers: { 'retry-after': expect.any(String) },
        });
        expect(JSON.parse(text)).toMatchObject({ code: 'QUEUE_FULL' });
      }
      expect((await ask('/echo')).status).toBe(200); // the rest of the cluster goes on
      writeFileSync(release, '');
      const answers = await Promise.all(
        outcomes.map(async ({ pid, answer }) => ({ pid, status: (await answer).status })),
      );
      const taken = (pid: number) => answers.filter((one) => one.pid === pid && one.status === 200).length;
      expect(taken(helper)).toBe(4);
      expect([3, 4]).toContain(taken(main)); // one that the replica refused keeps its turn beyond the bound
      expect(answers.filter(({ status }) => status === 429)).toHaveLength(12 - taken(main));
    },
  );

  it('changes 2 → 1 → 3 → 2 under load, with no request lost', async () => {
    const load = steadyLoad(`http://127.0.0.1:${port}/echo`);
    try {
      for (const count of [1, 3, 2]) {
        await load.more(100);
        write(count);
        const result = await head.apply();
        expect(result, result.stderr).toMatchObject({ code: 0 });
        expect(result.stdout).toContain('ingress_processes');
        await processes(count);
      }
      await load.more(100);
    } finally {
      await load.stop();
    }
    const outcome = await load.stop();
    expect(outcome.failures.slice(0, 5)).toEqual([]);
    expect(outcome.answered).toBeGreaterThan(400);
    const { deployments } = await head.status();
    expect(deployments.flatMap(({ replicas }) => replicas.map((one) => one.restarts))).toEqual([0, 0, 0]);
  });

  it('replaces a process that is killed; the others serve on', async () => {
    const [main = 0, helper = 0] = await processes(2);
    const byPid = await connections(1);
    process.kill(helper, 'SIGKILL');
    await expect(ask('/echo', { agent: byPid.get(helper)?.[0] ?? new http.Agent() })).rejects.toThrow();
    expect((await ask('/echo', { agent: byPid.get(main)?.[0] ?? new http.Agent() })).status).toBe(200);
    const next = await until('another', async () => {
      const pids = await processes(2);
      return pids.includes(helper) ? null : pids;
    });
    expect(next[0]).toBe(main);
    expect([...(await connections(1)).keys()]).toEqual(next);
  });

  it('comes back when its main process is killed; what its helper had begun is finished', async () => {
    const [main = 0, helper = 0] = await processes(2);
    const byPid = await connections(1);
    const begun = ask('/sleeping', { agent: byPid.get(helper)?.[0] ?? new http.Agent() });
    await until('it is at the replica', async () => (await state()).inFlight === 1);
    process.kill(main, 'SIGKILL');
    const next = await until('others', async () => {
      const pids = await processes(2);
      return pids.includes(main) || pids.includes(helper) ? null : pids;
    });
    expect(next).toHaveLength(2);
    expect((await state()).httpPort).toBe(port);
    expect((await ask('/echo')).status).toBe(200);
    writeFileSync(release, '');
    expect((await begun).status).toBe(200);
  });

  it('is adopted by the next node process, and follows a change of port', async () => {
    const before = await processes(2);
    head.signal('SIGKILL');
    await head.ended();
    const byPid = await connections(1);
    expect([...byPid.keys()]).toEqual(before);
    head.output = '';
    head.launch();
    await head.says(/^ready\b/im);
    expect(await processes(2)).toEqual(before);
    const old = port;
    const [next = 0] = await freePorts(1);
    port = next;
    write(2);
    expect(await head.apply()).toMatchObject({ code: 0 });
    await until('the new port', async () => (await state()).httpPort === next);
    for (const [agent] of byPid.values()) {
      const answer = await ask('/echo', { port: old, ...(agent === undefined ? {} : { agent }) });
      expect(answer).toMatchObject({ status: 200, headers: { connection: 'close' } });
    }
    expect([...(await connections(1)).keys()]).toEqual(before);
  });
});
