import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { tempDir } from '../support/temp-dir.ts';
import { startOss } from './oss-double.ts';
import { PRELUDE, PYTHON_PACKAGE, pythonPlace, runPython } from './python-process.ts';

/** A folder with torch and safetensors that is on no path. */
const PACKAGES = process.env['TEST_TORCH'] ?? '';
const env = { ...process.env, PYTHONPATH: PACKAGES };

function hasTorch(): boolean {
  try {
    execFileSync('python3', ['-c', 'import torch, safetensors, numpy'], {
      env,
      stdio: 'ignore',
      timeout: 60_000,
    });
    return true;
  } catch {
    process.stdout.write(
      'skipped: the connector with torch: python3 has no torch, safetensors and numpy (TEST_TORCH names a folder)\n',
    );
    return false;
  }
}

it('torch, safetensors and numpy read what was opened, and prepared folders', { timeout: 240_000 }, async ({
  skip,
}) => {
  if (!hasTorch()) skip();
  const folder = tempDir();
  const make = `
import sys, torch, numpy
from safetensors.torch import save_file
torch.manual_seed(1)
tensors = {'a': torch.randn(2200, 2200), 'b': torch.arange(10)}
save_file(tensors, sys.argv[1] + '/m.safetensors')
torch.save(tensors, sys.argv[1] + '/m.pt')
numpy.save(sys.argv[1] + '/m.npy', tensors['a'].numpy())
`;
  execFileSync('python3', ['-c', make, folder], { env });
  const files = ['m.safetensors', 'm.pt', 'm.npy'].map((name) => [
    `bkt/m/${name}`,
    readFileSync(join(folder, name)),
  ]);
  const oss = await startOss(Object.fromEntries(files));
  const place = pythonPlace(oss);
  let release: () => void = () => undefined;
  oss.held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const source = `${PRELUDE}
import threading, torch, numpy, mmap
from safetensors import safe_open
from safetensors.torch import load, load_file
expected = load_file(${JSON.stringify(folder)} + '/m.safetensors')
same = lambda got: all(torch.equal(got[name], expected[name]) for name in expected)
c = connect()
r = {'torch.load of an object': same(torch.load(c.open('oss://bkt/m/m.pt')))}
r['safetensors of its bytes'] = same(load(c.open('oss://bkt/m/m.safetensors').read()))
d = os.environ['TMPDIR'] + '/model'
print('hold', flush=True)
sys.stdin.readline()
c.prepare_directory('oss://bkt/m', d)
def tell_that_it_waits():
    until(lambda: c._channel.link.pending)
    print('release', flush=True)
threading.Thread(target=tell_that_it_waits).start()
with safe_open(d + '/m.safetensors', framework='pt') as f: r['safe_open'] = torch.equal(f.get_tensor('a'), expected['a'])
r['torch.load of a path'] = same(torch.load(d + '/m.pt'))
r['numpy.load'] = bool((torch.from_numpy(numpy.load(d + '/m.npy')) == expected['a']).all())
r['numpy.fromfile'] = numpy.fromfile(open(d + '/m.npy', 'rb'), dtype='f4', offset=128).shape
with open(d + '/m.npy', 'rb') as f: r['mmap'] = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)[1:6].decode()
size = os.path.getsize(d + '/m.safetensors')
storage = torch.UntypedStorage.from_file(d + '/m.safetensors', False, size)
r['from_file'] = bytes(storage[-8:].tolist()) == open(d + '/m.safetensors', 'rb').read()[-8:]
r['load_file'] = same(load_file(d + '/m.safetensors'))
c.close()
print(json.dumps(r))
`;
  const paths = [PYTHON_PACKAGE, PACKAGES].filter((path) => path !== '').join(':');
  const its = { ...place, env: { ...place.env, PYTHONPATH: paths } };
  const { code, output } = await runPython(its, source, (line, send) => {
    if (line === 'release') release();
    if (line !== 'hold') return;
    oss.isHeld = (request) => request.url === '/bkt/m/m.safetensors';
    send('go on\n');
  });
  expect(code, output).toBe(0);
  expect(JSON.parse(output.trim().split('\n').at(-1) ?? '')).toEqual({
    ...{ 'torch.load of an object': true, 'safetensors of its bytes': true, 'torch.load of a path': true },
    ...{ 'numpy.load': true, 'numpy.fromfile': [2200 * 2200], mmap: 'NUMPY', from_file: true },
    ...{ safe_open: true, load_file: true },
  });
});
