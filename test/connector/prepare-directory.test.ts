import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { startOss } from './oss-double.ts';
import { PRELUDE, type PythonPlace, pythonPlace, runPython } from './python-process.ts';

const MIB = 1024 ** 2;
const LARGE = randomBytes(20 * MIB);
const SHA = createHash('sha256').update(LARGE).digest('hex');

async function findings(place: PythonPlace, source: string): Promise<unknown> {
  const { code, output } = await runPython(place, PRELUDE + source);
  expect(code, output).toBe(0);
  return JSON.parse(output.trim().split('\n').at(-1) ?? '');
}

/** A store with a model, whose large file comes once `release` was called. */
async function startModel() {
  const objects = { 'config.json': Buffer.from('{"a": 1}'), 'w/1.bin': LARGE, 'w/2.bin': LARGE };
  const oss = await startOss(
    Object.fromEntries(Object.entries(objects).map(([name, bytes]) => [`bkt/m/${name}`, bytes])),
  );
  let release: () => void = () => undefined;
  oss.held = new Promise<void>((resolve) => {
    release = resolve;
  });
  oss.isHeld = (request) => request.url === '/bkt/m/w/2.bin';
  return { oss, release };
}

describe('prepare_directory', () => {
  it('has small files at once, and whoever opens a large one waits for it', async () => {
    const { oss, release } = await startModel();
    const place = pythonPlace(oss);
    const directory = join(place.folder, 'model');
    mkdirSync(directory);
    writeFileSync(join(directory, 'stale'), '');
    const source = `${PRELUDE}
import io, pathlib, threading
plain = open
c = connect()
d = os.environ['TMPDIR'] + '/model'
c.prepare_directory('oss://bkt/m', d)
r = {'names': sorted(os.path.relpath(os.path.join(a, n), d) for a, _, ns in os.walk(d) for n in ns), 'config': json.load(open(d + '/config.json'))}
r['size'] = [os.path.getsize(d + '/w/2.bin'), os.path.isfile(d + '/w/2.bin'), pathlib.Path(d, 'w/2.bin').stat().st_size]
try: plain(d + '/w/2.bin', 'rb')
except FileNotFoundError: r['plain'] = 'not there'
r['first'] = hashlib.sha256(open(d + '/w/1.bin', 'rb').read()).hexdigest()
got = []
readers = [
    threading.Thread(target=lambda: got.append(hashlib.sha256(open(d + '/w/2.bin', 'rb').read()).hexdigest())),
    threading.Thread(target=lambda: got.append(hashlib.sha256(pathlib.Path(d, 'w', '2.bin').read_bytes()).hexdigest())),
]
for each in readers: each.start()
assert got == []
print('release', flush=True)
for each in readers: each.join()
r['second'] = got
until(lambda: os.path.exists(os.path.realpath(d + '/w/2.bin')))
r['after'] = hashlib.sha256(plain(d + '/w/2.bin', 'rb').read()).hexdigest()
c.close()
r['unhooked'] = [open is plain, io.open is plain]
print(json.dumps(r))
`;
    const { code, output } = await runPython(place, source, (line) => {
      if (line === 'release') release();
    });
    expect(code, output).toBe(0);
    expect(JSON.parse(output.trim().split('\n').at(-1) ?? '')).toEqual({
      ...{
        names: ['config.json', 'w/1.bin', 'w/2.bin'],
        config: { a: 1 },
        size: [LARGE.length, true, LARGE.length],
      },
      ...{ plain: 'not there', first: SHA, second: [SHA, SHA], after: SHA, unhooked: [true, true] },
    });
    await vi.waitFor(() => expect(readdirSync(place.memory)).toEqual([]), { timeout: 20_000 });
  });

  it('returns once all is there where libc is to be served', async () => {
    const { oss, release } = await startModel();
    release();
    const place = pythonPlace(oss);
    const source = `
import subprocess
c = connect()
d = os.environ['TMPDIR'] + '/model'
plain = open
c.prepare_directory('oss://bkt/m/', d, libc_hook=True)
print(json.dumps([subprocess.check_output(['sha256sum', d + '/w/2.bin']).decode()[:64], open is plain]))
`;
    expect(await findings(place, source)).toEqual([SHA, true]);
  });

  it('streams what is larger than its memory', async () => {
    const { oss, release } = await startModel();
    release();
    const place = pythonPlace(oss, { memoryBytes: 24 * MIB });
    const source = `
c = connect()
d = os.environ['TMPDIR'] + '/model'
c.prepare_directory('oss://bkt/m', d)
print(json.dumps([hashlib.sha256(open(d + '/w/%d.bin' % n, 'rb').read()).hexdigest() for n in [1, 2]]))
`;
    expect(await findings(place, source)).toEqual([SHA, SHA]);
  });

  it('raises RuntimeError, and says why', async () => {
    const { oss } = await startModel();
    const place = pythonPlace(oss);
    const source = `
c = connect()
r = []
for uri, d in [('oss://bkt/m', '/'), ('oss://bkt/m', 'here'), ('oss://bkt/m', os.environ['HOME']), ('oss://bkt/none', os.environ['TMPDIR'] + '/x')]:
    try: c.prepare_directory(uri, d)
    except RuntimeError as e: r.append(str(e))
print(json.dumps(r))
`;
    const found = (await findings(place, source)) as string[];
    expect(found.map((message) => message.replace(place.folder, 'HOME'))).toEqual([
      expect.stringMatching(/^\/ cannot be prepared, which would empty it: /),
      expect.stringMatching(/^here cannot be prepared, .*: expected an absolute path/),
      expect.stringMatching(/^HOME cannot be prepared, /),
      'oss://bkt/none: the server has no such file',
    ]);
  });
});
