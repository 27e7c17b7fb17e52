import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tempDir } from '../support/temp-dir.ts';
import { startOss } from './oss-double.ts';
import { PRELUDE, PYTHON_PACKAGE, pythonPlace, runPython } from './python-process.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
const NAME = `ossmodelconnector-${version}-py3-none-any.whl`;

function run(args: readonly string[]): void {
  execFileSync('python3', args, { stdio: 'pipe', timeout: 100_000 });
}

describe('the wheel of ossmodelconnector', () => {
  it('is made without pip, and holds what its record says', () => {
    const folder = tempDir();
    run([join(PYTHON_PACKAGE, 'wheel_backend.py'), folder]);
    expect(readdirSync(folder)).toEqual([NAME]);
    const check = `
import base64, csv, hashlib, sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
[record] = [name for name in wheel.namelist() if name.endswith('/RECORD')]
rows = list(csv.reader(wheel.read(record).decode().splitlines()))
assert sorted(row[0] for row in rows) == sorted(wheel.namelist())
for name, digest, size in rows:
    if name == record: continue
    data = wheel.read(name)
    assert digest == 'sha256=' + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()
    assert int(size) == len(data)
`;
    run(['-c', check, join(folder, NAME)]);
  });

  it('is made and installed by pip, and finds the modelserve that made it', { timeout: 120_000 }, async ({
    skip,
  }) => {
    const folder = tempDir();
    const packages = join(folder, 'packages');
    try {
      run(['-m', 'pip', '--version']);
    } catch {
      process.stdout.write('skipped: the wheel of ossmodelconnector by pip: this Python has none\n');
      skip();
    }
    run(['-m', 'pip', 'wheel', '--quiet', '--no-index', '--wheel-dir', folder, PYTHON_PACKAGE]);
    run(['-m', 'pip', 'install', '--quiet', '--no-index', '--target', packages, join(folder, NAME)]);
    const place = pythonPlace(await startOss({ 'bkt/a': Buffer.from('content') }));
    const { MODELSERVE_BIN, ...others } = place.env;
    const env = { ...others, PYTHONPATH: packages };
    const source = `${PRELUDE}print(connect().open('oss://bkt/a', False).read())`;
    const { code, output } = await runPython({ ...place, env }, source);
    expect([code, output]).toEqual([0, 'content\n']);
    expect(MODELSERVE_BIN, 'nothing else said where it is').not.toBe('');
  });

  it('is for Python from 3.8 on', () => {
    const files = readdirSync(join(PYTHON_PACKAGE, 'ossmodelconnector')).filter((name) =>
      name.endsWith('.py'),
    );
    const check =
      'import ast, sys\nfor path in sys.argv[1:]: ast.parse(open(path).read(), feature_version=(3, 8))';
    run(['-c', check, ...files.map((name) => join(PYTHON_PACKAGE, 'ossmodelconnector', name))]);
    expect(files.length).toBeGreaterThan(5);
  });
});
