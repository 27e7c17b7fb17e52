import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestHead } from './support/cluster.ts';
import { steadyLoad } from './support/load.ts';
import { echoSource, Project } from './support/project.ts';
import { until } from './support/until.ts';

// Every change here is made under steady load from 20 connections; not one request may fail.
describe('changes of conf.ini under load', () => {
  const project = new Project();
  let head: TestHead;
  const section = { backend: 'Backend', route: 'echo', replicas: 1, min_ready_s: 0.5, cpu_cost: 0.05 };

  beforeAll(async () => {
    project.package('Echo', echoSource());
    project.package('Other', echoSource({ version: 'other' }));
    project.sections({ Echo: section, Other: { ...section, route: 'other' } });
    head = await TestHead.start({ conf: project.conf });
  });

  afterAll(async () => {
    await head?.dispose();
    project.remove();
  });

  async function applied(extra: readonly string[] = []): Promise<string> {
    const result = await head.apply(extra);
    expect(result, result.stdout + result.stderr).toMatchObject({ code: 0 });
    return result.stdout;
  }

  async function pidsOf(name: string): Promise<readonly (number | null)[]> {
    const { deployments } = await head.status();
    const found = deployments.find((one) => one.name === name);
    return (found?.replicas ?? []).map((replica) => replica.pid).sort();
  }

  async function underLoad(
    change: () => Promise<void>,
    route = 'echo',
  ): Promise<ReadonlyMap<string, number>> {
    const load = steadyLoad(head.url(route));
    await load.more(100);
    try {
      await change();
      await load.more(100);
    } finally {
      await load.stop();
    }
    const outcome = await load.stop();
    expect(outcome.failures.slice(0, 5)).toEqual([]);
    expect(outcome.answered).toBeGreaterThan(200);
    return outcome.bodies;
  }

  it('scales 1 → 4 → 1', async () => {
    await underLoad(async () => {
      project.sections({ Echo: { ...section, replicas: 4 }, Other: { ...section, route: 'other' } });
      await applied();
      expect(await pidsOf('Echo')).toHaveLength(4);
      project.sections({ Echo: section, Other: { ...section, route: 'other' } });
      await applied();
      await until('one replica to be left', async () => (await pidsOf('Echo')).length === 1);
    });
  });

  it('reconfigures in place: same pids, in force within 0.3 s of its acceptance', async () => {
    const before = await pidsOf('Echo');
    await underLoad(async () => {
      project.sections({
        Echo: { ...section, user_config: '{"threshold": 0.7}' },
        Other: { ...section, route: 'other' },
      });
      await applied();
    });
    expect(await pidsOf('Echo')).toEqual(before);
    const answer = await fetch(head.url('echo'), { method: 'POST', body: '{}' });
    expect(await answer.json()).toMatchObject({ config: { threshold: 0.7 } });
  });

  it('replaces code with one replica, and with two', async () => {
    for (const replicas of [1, 2]) {
      project.sections({ Echo: { ...section, replicas }, Other: { ...section, route: 'other' } });
      await applied();
      const version = `v2-${replicas}`;
      const bodies = await underLoad(async () => {
        project.package('Echo', echoSource({ version, loadS: 0.3 }));
        expect(await applied()).toContain('package content');
      });
      const versions = new Set(
        [...bodies.keys()].map((body) => (JSON.parse(body) as { version: string }).version),
      );
      expect(versions, `replicas = ${replicas}`).toContain(version);
      const last = await fetch(head.url('echo'), { method: 'POST', body: '{}' });
      expect(await last.json(), `replicas = ${replicas}`).toMatchObject({ version });
    }
  });

  it('ends only the route of a section that is commented out, and brings it back', async () => {
    await underLoad(async () => {
      project.sections({ Echo: section });
      await applied();
      const gone = await fetch(head.url('other'), { method: 'POST', body: '{}' });
      expect(gone.status).toBe(404);
      expect(await gone.json()).toMatchObject({ status: 0, code: 'ROUTE_NOT_FOUND' });
      project.sections({ Echo: section, Other: { ...section, route: 'other' } });
      await applied();
      const back = await fetch(head.url('other'), { method: 'POST', body: '{}' });
      expect(back.status).toBe(200);
    });
  });

  it('does nothing for the same file', async () => {
    const before = await head.status();
    expect(await applied()).toContain('Nothing changes');
    const after = await head.status();
    expect(after.revision).toBe(before.revision);
    expect(after.deployments.map((one) => one.replicas.map((replica) => replica.pid))).toEqual(
      before.deployments.map((one) => one.replicas.map((replica) => replica.pid)),
    );
  });

  it('lets the last of ten quick applies win, and leaves nothing over', async () => {
    const results = [];
    for (let number = 1; number <= 10; number += 1) {
      project.sections({
        Echo: { ...section, user_config: `{"number": ${number}}`, replicas: (number % 3) + 1 },
      });
      results.push(head.apply());
      await until('the apply to be recorded', async () => (await head.status()).revision, 10_000);
    }
    const ended = await Promise.all(results);
    expect(ended.at(-1)?.code).toBe(0);
    for (const { code, stdout, stderr } of ended) {
      expect(code === 0 || code === 5, `${code}: ${stdout}${stderr}`).toBe(true);
    }
    const { deployments } = await head.status();
    expect(deployments.map((one) => one.name)).toEqual(['Echo']);
    expect(deployments[0]).toMatchObject({ status: 'HEALTHY', target: 2, ready: 2 });
    await until('two replicas to be left', async () => (await pidsOf('Echo')).length === 2);
    const answer = await fetch(head.url('echo'), { method: 'POST', body: '{}' });
    expect(await answer.json()).toMatchObject({ config: { number: 10 } });
  });
});
