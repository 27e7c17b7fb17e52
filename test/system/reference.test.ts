import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePorts, TestHead } from './support/cluster.ts';
import { hasPackageIndex } from './support/package-index.ts';
import { Project } from './support/project.ts';
import { ROOT } from './support/test-process.ts';

// The documents that the project comes from show this conf.ini and this backend; both are served as they are.
const conf = readFileSync(join(ROOT, 'test/fixtures/reference-conf.ini'), 'utf8');
const backend = readFileSync(join(ROOT, 'test/fixtures/reference-backend.py'), 'utf8');

describe("the reference's own example", () => {
  const project = new Project();
  let head: TestHead;

  beforeAll(async () => {
    project.package('AlgoExample', backend);
    project.write('Model_ZOO/algoexample_model_v1.pb', 'weights');
    project.write('conf.ini', conf);
  });

  afterAll(async () => {
    await head?.dispose();
    project.remove();
  });

  it('is told which line to add to which requirements.txt, since its backend imports numpy', async () => {
    // A python3 without any package, whatever is installed for the one on PATH.
    execFileSync('python3', ['-m', 'venv', '--without-pip', join(project.dir, 'bare')]);
    const env = { PATH: `${join(project.dir, 'bare', 'bin')}:${process.env['PATH']}` };
    head = new TestHead(await freePorts(3), { conf: project.conf, args: ['--num-gpus', '1'], env });
    head.launch();
    await head.says(/numpy[\s\S]*AlgoExample\/requirements\.txt/);
  });

  it.skipIf(!hasPackageIndex)('answers GET with a JSON body at its route, on the whole GPU', async () => {
    project.write('algopkg/AlgoExample/requirements.txt', 'numpy\n');
    const applied = await head.apply();
    expect(applied, applied.stderr).toMatchObject({ code: 0 });
    const answer = await request(head.url('extract'), { method: 'GET', body: '{"a": 1}' });
    expect(answer.statusCode).toBe(200);
    expect(await answer.body.json()).toMatchObject({ status: 1, result: null });
    const { deployments, nodes } = await head.status();
    expect(deployments[0]).toMatchObject({ name: 'AlgoExample', route: '/extract', status: 'HEALTHY' });
    expect(nodes[0]?.gpus).toMatchObject([{ index: 0, free: 0, virtual: true }]);
  });
});
