import { copyFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePorts, TestHead } from './support/cluster.ts';
import { steadyLoad } from './support/load.ts';
import { echoSource, Project } from './support/project.ts';
import { hasRedis, TestRedis } from './support/stores.ts';

const section = { backend: 'Backend', route: 'echo', min_ready_s: 0.3 };

function projectOf(version: string): Project {
  const project = new Project();
  project.package('Echo', echoSource({ version }));
  project.sections({ Echo: section });
  return project;
}

describe.skipIf(!hasRedis)('heads on one Redis that was given to them', () => {
  const projects = { first: projectOf('first'), second: projectOf('second') };
  let redis: TestRedis;
  let first: TestHead;
  let second: TestHead | undefined;

  beforeAll(async () => {
    redis = await TestRedis.start();
    first = await TestHead.start({ conf: projects.first.conf, args: ['--redis', redis.url] });
  });

  afterAll(async () => {
    await second?.dispose();
    await first?.dispose();
    await redis?.dispose();
    for (const project of Object.values(projects)) project.remove();
  });

  async function versionAt(head: TestHead): Promise<unknown> {
    const answer = await fetch(head.url('echo'), { method: 'POST', body: '{}' });
    return ((await answer.json()) as { version?: unknown }).version;
  }

  it('keep apart with tokens of their own: two clusters', async () => {
    const other = await TestHead.start({ conf: projects.second.conf, args: ['--redis', redis.url] });
    try {
      expect([await versionAt(first), await versionAt(other)]).toEqual(['first', 'second']);
      for (const head of [first, other]) expect((await head.status()).nodes).toHaveLength(1);
    } finally {
      await other.dispose();
    }
    expect(await versionAt(first)).toBe('first');
  });

  it('lead in turn with one token: the second stands by, takes over, and goes on with what there is', async () => {
    const stateDir = mkdtempSync(join(tmpdir(), 'modelserve-state-'));
    copyFileSync(join(first.stateDir, 'token'), join(stateDir, 'token'));
    const args = ['--redis', redis.url];
    second = new TestHead(await freePorts(3), { conf: projects.second.conf, args, stateDir });
    second.launch();
    await second.says(/^standing by: \S+ leads this cluster/m);
    const refused = await second.apply();
    expect(refused).toMatchObject({ code: 4, stderr: expect.stringMatching(/stands by: \S+ leads/) });
    const load = steadyLoad(first.url('echo'));
    await load.more(20);
    first.signal('SIGKILL');
    await second.says(/^leads the cluster now: revision 1 goes on/m);
    await second.says(/^ready\b/im);
    await load.more(20);
    const outcome = await load.stop();
    expect(outcome.failures.slice(0, 5)).toEqual([]);
    expect(await versionAt(second)).toBe('first');
  });
});
