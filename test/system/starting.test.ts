import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { statePaths } from '../../src/config/paths.ts';
import { hasLeftovers } from '../../src/roles/leftovers.ts';
import { freePorts, modelserve, TestHead } from './support/cluster.ts';
import { echoSource, Project } from './support/project.ts';

describe('a head that does not come up', () => {
  const project = new Project();

  beforeAll(() => {
    project.package('Echo', echoSource());
    project.package(
      'Slow',
      `import time\n\nclass Backend:\n    def __init__(self, path):\n        time.sleep(300)\n    def predict(self, parameters):\n        return 1\n`,
    );
    project.sections({ Echo: { backend: 'Backend', route: 'echo' } });
  });

  afterAll(() => project.remove());

  async function holding<Result>(port: number, work: () => Promise<Result>): Promise<Result> {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    try {
      return await work();
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  }

  it('leaves nothing behind', async () => {
    const ports = await freePorts(3);
    const head = new TestHead(ports, { conf: project.conf });
    for (const taken of ports) {
      await holding(taken, async () => {
        head.launch();
        await head.ended();
      });
      expect(head.exitCode, head.output).toBeGreaterThan(0);
      expect(head.output).toContain(`port ${taken}`);
      const paths = statePaths(head.stateDir);
      expect(hasLeftovers(paths)).toBe(false);
      expect(existsSync(paths.lock)).toBe(false);
    }
    await head.dispose();
  });

  it('leaves what an earlier one had left running', async () => {
    const head = await TestHead.start({ conf: project.conf });
    await modelserve(['stop', '--keep-replicas', '--state-dir', head.stateDir]);
    await head.ended();
    await holding(head.adminPort, async () => {
      head.launch();
      await head.ended();
    });
    expect(head.output).toContain(`port ${head.adminPort}`);
    expect((await fetch(head.url('echo'), { method: 'POST', body: '{}' })).status).toBe(200);
    await head.dispose();
  });

  it('ends on Ctrl-C while its replicas still start', async () => {
    const conf = project.conf;
    project.sections({ Slow: { backend: 'Backend', route: 'slow' } });
    const head = new TestHead(await freePorts(3), { conf });
    head.launch();
    await head.says(/Slow\b.*\bstarting/);
    head.signal('SIGINT');
    await head.ended(20_000);
    expect(head.output).toContain('stopped');
    expect(hasLeftovers(statePaths(head.stateDir))).toBe(false);
    await head.dispose();
  });

  it('is stopped by the state directory that it was given, also a relative one', async () => {
    project.sections({ Echo: { backend: 'Backend', route: 'echo' } });
    const name = mkdtempSync(join(tmpdir(), 'modelserve-relative-')).slice(tmpdir().length + 1);
    const head = new TestHead(await freePorts(3), { conf: project.conf, stateDir: name });
    const stateDir = join(tmpdir(), name);
    try {
      head.launch();
      await head.says(/^ready\b/im);
      const { code, stderr } = await modelserve(['stop', '--state-dir', name]);
      expect(code, stderr).toBe(0);
      await head.ended();
      expect(readdirSync(stateDir)).not.toContain('lock.json');
    } finally {
      await head.dispose();
      rmSync(stateDir, { recursive: true, force: true });
    }
  });
});
