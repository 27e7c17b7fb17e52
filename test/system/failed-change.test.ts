import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestHead } from './support/cluster.ts';
import { steadyLoad } from './support/load.ts';
import { echoSource, Project } from './support/project.ts';
import { until } from './support/until.ts';

describe('a change that fails', () => {
  const project = new Project();
  let head: TestHead;
  const section = { backend: 'Backend', route: 'echo', min_ready_s: 0.5 };

  beforeAll(async () => {
    project.package('Echo', echoSource());
    project.sections({ Echo: section });
    head = await TestHead.start({ conf: project.conf });
  });

  afterAll(async () => {
    await head?.dispose();
    project.remove();
  });

  async function versionServed(): Promise<string> {
    const answer = await fetch(head.url('echo'), { method: 'POST', body: '{}' });
    return ((await answer.json()) as { version: string }).version;
  }

  it.each([
    [
      'a constructor that raises',
      `${echoSource()}\n    def __init__(self, model_path):\n        raise RuntimeError("weights are broken")\n`,
      'weights are broken',
    ],
    [
      'a syntax error',
      'class Backend(object):\n    def __init__(self, model_path)\n        pass\n',
      'SyntaxError',
    ],
  ])(
    '%s: the old one serves all requests, the command ends 1 with the traceback',
    async (_what, source, words) => {
      const load = steadyLoad(head.url('echo'));
      await load.more(50);
      project.package('Echo', source);
      const result = await head.apply();
      await load.more(50);
      const outcome = await load.stop();
      expect(outcome.failures.slice(0, 5)).toEqual([]);
      expect(result.code, result.stdout + result.stderr).toBe(1);
      expect(result.stderr).toContain(words);
      expect(result.stderr).toMatch(/File ".*backend\.py", line \d+/);
      expect(await versionServed()).toBe('v1');
    },
  );

  it('tells the whole story in status', async () => {
    const { revision, deployments } = await head.status();
    const echo = deployments[0];
    expect(echo).toMatchObject({ status: 'DEPLOY_FAILED', revision, ready: 1 });
    expect(echo?.serving_revision).toBeLessThan(revision);
    expect(echo?.error).toContain('SyntaxError');
  });

  it('restarts the old code when the old replica crashes afterwards', async () => {
    const before = (await head.status()).deployments[0]?.replicas.find(
      (replica) => replica.phase === 'ready',
    );
    process.kill(before?.pid ?? expect.fail('no process to end'), 'SIGKILL');
    const after = await until('another process to be ready', async () => {
      const replicas = (await head.status()).deployments[0]?.replicas ?? [];
      return replicas.find((replica) => replica.phase === 'ready' && replica.pid !== before?.pid);
    });
    expect(after.id).toBe(before?.id);
    expect(await versionServed()).toBe('v1');
  });

  it('tries a failed change again when the same file is applied again', async () => {
    const again = await head.apply();
    expect(again.code).toBe(1);
    expect(again.stdout).toContain('tried again');
    project.package('Echo', echoSource({ version: 'v3' }));
    const mended = await head.apply();
    expect(mended.code, mended.stderr).toBe(0);
    expect(await versionServed()).toBe('v3');
    expect((await head.status()).deployments[0]).toMatchObject({ status: 'HEALTHY', error: null });
  });

  it('changes nothing for a file with mistakes, and names them all', async () => {
    project.write(
      'conf.ini',
      '[MODEL SERVE]\nport = 80a\n\n[algopkg.Echo]\nbackend = Bakend\nreplica = 2\ngpu_cost = 1.5\n',
    );
    const result = await head.apply();
    expect(result.code).toBe(2);
    for (const words of ['port', 'Bakend', 'did you mean', 'replica', '1.5'])
      expect(result.stderr).toContain(words);
    expect(await versionServed()).toBe('v3');
  });
});
