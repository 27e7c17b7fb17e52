import { createServer } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AdminServer } from '../../src/admin/server.ts';
import type { AdminBackend, ApplyAnswer, UploadDesk } from '../../src/admin/types.ts';
import { AdminClient } from '../../src/cli/admin-client.ts';
import { type ControllerOptions, controllerCommand } from '../../src/cli/controller.ts';
import { describeFailure, ExitCode } from '../../src/cli/exit.ts';
import type { DeploymentProgress, Progress } from '../../src/cluster/status/types.ts';
import { ServeError } from '../../src/lib/errors.ts';
import { silentLog } from '../../src/lib/log.ts';
import { makeProject, PACKAGES } from '../config/project-fixture.ts';
import {
  echoLive,
  echoMeasurements,
  echoRevisions,
  echoTokens,
  plainRoutes,
} from '../support/admin-parts.ts';
import { adminKeys } from '../support/secrets.ts';
import { captureOutput } from './capture.ts';

const KEY = 'msa_key';
const TEXT = '[algopkg.Echo]\nbackend = EchoBackend\nroute = echo\n';

const echo: DeploymentProgress = {
  name: 'Echo',
  status: 'UPDATING',
  settled: false,
  failed: false,
  target: 1,
  ready: 0,
  message: '',
  error: null,
  moving: false,
  replicas: [],
  preparing: [],
};
const applied: ApplyAnswer = {
  ok: true,
  outcome: 'recorded',
  revision: 3,
  changes: [{ deployment: 'Echo', kind: 'added', effects: [], differences: [] }],
  settings: [],
  deployments: ['Echo'],
  warnings: ['conf.ini: there is little room'],
};
const going: Progress = {
  revision: 3,
  supersededBy: null,
  done: false,
  deployments: [echo],
  waitingFor: [],
};
const inForce: Progress = {
  ...going,
  done: true,
  deployments: [{ ...echo, status: 'HEALTHY', settled: true, ready: 1 }],
};
const failed: Progress = {
  ...going,
  done: true,
  deployments: [
    { ...echo, status: 'DEPLOY_FAILED', failed: true, message: 'it raised', error: 'Traceback …' },
  ],
};

interface Script {
  readonly apply?: ApplyAnswer | Error;
  /** one after the other; the last one stays */
  readonly progress?: readonly Progress[];
  readonly key?: string;
  readonly conf?: string;
}

/** A head that sees every file that the command sees. */
const sameDisk: UploadDesk = {
  sees: async () => true,
  offer: async () => ({ upload: '', missing: [] }),
  receive: async () => 0,
};

/** Runs the command against an admin API that answers by a script. */
async function run(script: Script, over: Partial<ControllerOptions> = {}) {
  const output = captureOutput();
  let asked = 0;
  const { progress = [inForce] } = script;
  const answer = script.apply ?? applied;
  const backend = {
    plan: async () => ({ ...applied }),
    apply: async () => {
      if (answer instanceof Error) throw answer;
      return answer;
    },
    progress: () => {
      const now = progress[Math.min(asked, progress.length - 1)];
      asked += 1;
      return now;
    },
  } as unknown as AdminBackend;
  const logs = { open: () => Promise.reject(new Error('no logs')) };
  const server = new AdminServer(
    {
      ...{ host: '127.0.0.1', port: 0, isReadOnly: false, tls: null, version: '1.2.3' },
      keys: adminKeys({ apiKey: KEY, viewerKey: 'v', metricsKey: 'm' }),
    },
    {
      ...{ backend, logs, uploads: sameDisk, log: silentLog },
      ...{ revisions: echoRevisions, measurements: echoMeasurements, live: echoLive, routes: plainRoutes },
      tokens: echoTokens,
    },
  );
  await server.start();
  onTestFinished(async () => await server.stop());
  const folder = await makeProject({ ...PACKAGES, 'conf.ini': script.conf ?? TEXT });
  const client = new AdminClient({ address: `127.0.0.1:${server.port}`, apiKey: script.key ?? KEY });
  const ended = await end(async () => await Promise.resolve(client), join(folder, 'conf.ini'), over);
  return { ...ended, stdout: output.stdout(), stderr: output.stderr(), asked };
}

async function end(
  connect: () => Promise<AdminClient>,
  conf: string,
  over: Partial<ControllerOptions> = {},
): Promise<{ readonly code: number; readonly text: string }> {
  const options = { conf, dryRun: false, json: false, wait: true, timeoutMs: 60_000, ...over };
  try {
    return { code: await controllerCommand(connect, options), text: '' };
  } catch (error) {
    const { exitCode, text } = describeFailure(error);
    return { code: exitCode, text };
  }
}

describe('the command ends', () => {
  it('with 0 when all is in force, after showing plan, warnings and each step once', async () => {
    const { code, stdout, stderr, asked } = await run({ progress: [going, going, inForce] });
    expect(code).toBe(ExitCode.done);
    expect(asked).toBe(3);
    expect(stdout.match(/UPDATING/g)).toHaveLength(1);
    expect(stdout).toMatch(/added.*Echo[\s\S]*Revision 3[\s\S]*HEALTHY.* 1\/1 ready/);
    expect(stderr).toBe('warning: conf.ini: there is little room\n');
  });

  it('with 0 for a file that changes nothing, after showing what was still under way', async () => {
    const settled = { ...echo, name: 'Other', status: 'HEALTHY', settled: true } as const;
    const same: ApplyAnswer = { ...applied, outcome: 'unchanged', changes: [], warnings: [] };
    const beside = (one: Progress): Progress => ({ ...one, deployments: [...one.deployments, settled] });
    const waited = await run({ apply: same, progress: [beside(going), beside(inForce)] });
    expect(waited.stdout).toMatch(
      /^Nothing changes\.\n.*UPDATING.*\n.*HEALTHY.*\nRevision 3 is in force\.\n$/,
    );
    expect(waited.stdout).not.toContain('Other');
    const atOnce = await run({ apply: same, progress: [beside(inForce)] });
    expect(atOnce.stdout).toBe('Nothing changes.\nRevision 3 is in force.\n');
  });

  it('with 0 at once when nobody waits', async () => {
    expect(await run({ progress: [going] }, { wait: false })).toMatchObject({ code: 0, asked: 0 });
  });

  it('with 1 and the traceback when it failed', async () => {
    const { code, text, stderr } = await run({ progress: [going, failed] });
    expect(code).toBe(ExitCode.failed);
    expect(stderr).toContain('Echo: it raised\nTraceback …');
    expect(text).toBe('revision 3 failed for Echo');
  });

  it('with 1, saying that what served before serves on, where something did', async () => {
    const kept = { ...failed, deployments: failed.deployments.map((one) => ({ ...one, ready: 1 })) };
    const { code, text } = await run({ progress: [going, kept] });
    expect(code).toBe(ExitCode.failed);
    expect(text).toBe('revision 3 failed for Echo; what served before serves on');
  });

  it.each([
    ['found here', { conf: 'colour = red\n[algopkg.Echo]\nbackend = EchoBackend\nroute = echo\n' }],
    [
      'found by the head',
      { apply: { ok: false, mistakes: ['conf.ini:1 wrong'], warnings: [] } as unknown as ApplyAnswer },
    ],
  ])('with 2 for mistakes in the file, %s', async (_where, script) => {
    const { code, stderr, asked } = await run(script);
    expect({ code, asked }).toEqual({ code: ExitCode.usage, asked: 0 });
    expect(stderr).toMatch(/conf\.ini:1 [\s\S]*1 mistake in .*conf\.ini; nothing was changed\./);
  });

  it('with 3 when nothing moves, naming what is waited for', async () => {
    const stuck = { ...going, deployments: [{ ...echo, message: 'no room' }], waitingFor: ['n2'] };
    const { code, text } = await run({ progress: [stuck] }, { timeoutMs: 1 });
    expect(code).toBe(ExitCode.pending);
    expect(text).toMatch(/no progress for 0\.001 s[\s\S]*Echo: UPDATING no room[\s\S]*node n2: its ingress/);
  });

  it('not with 3 while something moves by itself, however long', async () => {
    const moving = { ...going, deployments: [{ ...echo, moving: true }] };
    const { code, asked } = await run({ progress: [moving, moving, moving, inForce] }, { timeoutMs: 1 });
    expect({ code, asked }).toEqual({ code: 0, asked: 4 });
  });

  it.each([
    ['the token is refused', { key: 'msa_other' }],
    ['the head does not lead', { apply: new ServeError('not now', { code: 'NOT_LEADER' }) }],
    ['the store is away', { apply: new ServeError('no store', { code: 'STORE_UNREACHABLE' }) }],
  ])('with 4 when %s', async (_why, script) => {
    expect((await run(script)).code).toBe(ExitCode.unreachable);
  });

  it('with 5 when a later revision has taken its place', async () => {
    const { code, text } = await run({ progress: [going, { ...going, supersededBy: 4 }] });
    expect(code).toBe(ExitCode.conflict);
    expect(text).toContain('revision 3 was superseded by revision 4');
  });
});

describe('as JSON', () => {
  it('the outcome is one document, also of a failure', async () => {
    const { code, stdout } = await run({ progress: [going, failed] }, { json: true });
    expect(code).toBe(ExitCode.failed);
    expect(JSON.parse(stdout)).toMatchObject({ revision: 3, progress: { done: true } });
  });

  it('mistakes are on stdout, too', async () => {
    const { code, stdout } = await run({ conf: '[algopkg.Echo]\nport = 1\n' }, { json: true });
    expect(code).toBe(ExitCode.usage);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, mistakes: expect.any(Array) });
  });

  it('a plan is what it would change', async () => {
    const { code, stdout, asked } = await run({}, { json: true, dryRun: true });
    expect({ code, asked }).toEqual({ code: 0, asked: 0 });
    expect(JSON.parse(stdout)).toMatchObject({ changes: [{ deployment: 'Echo' }] });
  });
});

describe('what answers in place of a cluster', () => {
  async function answering(status: number, text: string, cut = false): Promise<string> {
    const server = createServer((_request, response) => {
      response.writeHead(status, { 'content-type': 'application/json', 'content-length': text.length });
      if (!cut) response.end(text);
      else response.write(text.slice(0, 3), () => response.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const address = server.address();
    return typeof address === 'object' && address !== null ? `127.0.0.1:${address.port}` : '';
  }

  async function statusOf(address: string): Promise<{ exitCode: number; text: string }> {
    const asked = new AdminClient({ address, apiKey: KEY }).status();
    return await asked.then(() => expect.fail('it was understood'), describeFailure);
  }

  it.each<[string, number, string]>([
    ['another program', 404, '{"detail": "Not Found"}'],
    ['a web page', 200, '<html></html>'],
    ['a proxy', 502, 'Bad Gateway'],
  ])('%s is named as none', async (_what, status, text) => {
    const address = await answering(status, text);
    const failure = await statusOf(address);
    expect(failure.exitCode).toBe(ExitCode.unreachable);
    expect(failure.text).toContain(`${address} is no admin API`);
  });

  it('a connection that breaks is named as such', async () => {
    const failure = await statusOf(await answering(200, '{"version": 1}', true));
    expect(failure).toMatchObject({ exitCode: ExitCode.unreachable, text: expect.stringContaining('broke') });
  });

  it('nobody at all is named, too', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    await new Promise((resolve) => server.close(resolve));
    const failure = await statusOf(`127.0.0.1:${port}`);
    expect(failure.exitCode).toBe(ExitCode.unreachable);
    expect(failure.text).toMatch(/no cluster answers at .*ECONNREFUSED.*modelserve head/);
  });
});
