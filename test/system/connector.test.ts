import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { it, onTestFinished } from 'vitest';
import { startOss } from '../connector/oss-double.ts';
import { PYTHON_PACKAGE } from '../connector/python-process.ts';
import { TestHead } from './support/cluster.ts';
import { Project } from './support/project.ts';
import { until } from './support/until.ts';

it('a replica opens objects of OSS by a package from a wheel', async () => {
  const content = randomBytes(10 * 1024 ** 2);
  const oss = await startOss({ 'bkt/weights': content });
  const project = new Project();
  onTestFinished(() => project.remove());
  project.package(
    'Reader',
    `
import hashlib
from ossmodelconnector import OssModelConnector
class Key:
    access_key_id, access_key_secret, security_token = 'an-id', 'a-secret', ''
class Provider:
    def get_credentials(self): return Key()
class Backend:
    def __init__(self, model_path):
        with OssModelConnector('${oss.endpoint}', '', '${project.dir}/config.json', Provider()) as connector:
            self.md5 = hashlib.md5(connector.open('oss://bkt/weights').read()).hexdigest()
    async def __call__(self, request):
        return self.md5
`,
  );
  const paths = { logPath: join(project.dir, 'log'), auditPath: join(project.dir, 'audit') };
  project.write('config.json', JSON.stringify({ ...paths, prefetch: { directory: project.dir } }));
  project.write('algopkg/Reader/requirements.txt', 'ossmodelconnector\n');
  const wheels = join(project.dir, 'algopkg/Reader/wheels');
  mkdirSync(wheels);
  execFileSync('python3', [join(PYTHON_PACKAGE, 'wheel_backend.py'), wheels]);
  project.sections({ Reader: { backend: 'Backend', route: 'reader', min_ready_s: 0.2, wheels: 'wheels' } });
  const head = await TestHead.start({ conf: project.conf });
  onTestFinished(async () => await head.dispose());
  const ask = async () => await (await fetch(head.url('reader'), { method: 'POST', body: '{}' })).text();
  const md5 = execFileSync('md5sum', { input: content, encoding: 'utf8' }).slice(0, 32);
  await until('an answer', async () => (await ask()).includes(md5), 90_000);
});
