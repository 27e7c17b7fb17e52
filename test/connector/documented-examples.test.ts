import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { tempDir } from '../support/temp-dir.ts';
import { startOss } from './oss-double.ts';
import { PRELUDE, PYTHON_PACKAGE, pythonPlace, runPython } from './python-process.ts';

const text = readFileSync(new URL('data/documented-examples.md', import.meta.url), 'utf8');
const programs = [...text.matchAll(/^```python\n(.*?)^```/gms)].map((match) => match[1] ?? '');

/** Absolute paths of the examples, which belong to whoever reads them: here to the test. */
const PATHS = ['/root/.alibabacloud/credentials', '/etc/oss-connector/config.json', '/tmp/config.json'];

it('the documented programs run as they are', { timeout: 240_000 }, async ({ skip }) => {
  const packages = tempDir();
  try {
    const install = ['-m', 'pip', 'install', '--quiet', '--target', packages, 'oss2'];
    execFileSync('python3', install, { stdio: 'ignore', timeout: 180_000 });
  } catch {
    process.stdout.write(
      'skipped: documented programs of the connector: oss2 cannot be installed from a package index\n',
    );
    skip();
  }
  const shards = Array.from(
    { length: 38 },
    (_, index) =>
      `ai-testset/qwen/Qwen1.5-72B-Chat/model-${String(index + 1).padStart(5, '0')}-of-00038.safetensors`,
  );
  const folder = 'ai-testset/geonet/images/DISC/DISC.01/2022.001';
  const oss = await startOss({
    ...Object.fromEntries(shards.map((name) => [name, randomBytes(5 * 1024 ** 2)])),
    ...{ [`${folder}/a.png`]: Buffer.from('abc'), [`${folder}/b.png`]: Buffer.from('') },
    'ai-testset/dir1/obj1': randomBytes(9 * 1024 ** 2),
  });
  const place = pythonPlace(oss);
  const credentials = join(place.folder, 'credentials');
  writeFileSync(credentials, '{"AccessKeyId": "an-id", "AccessKeySecret": "a-secret"}');
  const local = (program: string) =>
    PATHS.reduce(
      (all, path) => all.replaceAll(path, path.endsWith('credentials') ? credentials : place.configPath),
      program,
    );
  const source = [
    `${PRELUDE}ENDPOINT, CONFIG_PATH = os.environ['ENDPOINT'], os.environ['CONFIG_PATH']`,
    ...programs.map(local),
    'print(json.dumps([hashlib.md5(o.read()).hexdigest() for o in objs if o.seek(0) == 0]))',
  ];
  const env = { ...place.env, PYTHONPATH: `${PYTHON_PACKAGE}:${packages}` };
  const { code, output } = await runPython({ ...place, env }, source.join('\n'));
  expect(code, output).toBe(0);
  const lines = output.trim().split('\n');
  const done = (what: string) => shards.map((_, index) => `${what} object done  ${index + 1}`);
  const listed = ['a.png', '3', 'b.png', '0'].map((part) =>
    part.endsWith('png') ? `${folder.slice('ai-testset/'.length)}/${part}` : part,
  );
  expect(lines.slice(0, -1)).toEqual([...listed, ...done('read'), ...done('readinto')]);
  const md5 = (name: string) => execHash(oss.objects.get(name) ?? Buffer.alloc(0));
  expect(JSON.parse(lines.at(-1) ?? '')).toEqual(shards.map(md5));
});

function execHash(content: Buffer): string {
  return execFileSync('md5sum', { input: content, encoding: 'utf8' }).slice(0, 32);
}
