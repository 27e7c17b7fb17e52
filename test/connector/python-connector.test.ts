import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { interpreters } from '../runner/python/interpreters.ts';
import { refuse, startOss } from './oss-double.ts';
import {
  PRELUDE,
  PROGRAM,
  type PythonPlace,
  pythonPlace,
  runPython,
  serversEnded,
} from './python-process.ts';

const MIB = 1024 ** 2;

/** Runs a program, which prints its findings as one line of JSON at its end. */
async function findings(place: PythonPlace, source: string): Promise<unknown> {
  const { code, output } = await runPython(place, PRELUDE + source);
  expect(code, output).toBe(0);
  return JSON.parse(output.trim().split('\n').at(-1) ?? '');
}

/** Nothing is left behind once all clients have gone. */
async function expectNothingLeft(place: PythonPlace): Promise<void> {
  await vi.waitFor(() => expect(readdirSync(place.memory)).toEqual([]), { timeout: 20_000 });
  await serversEnded(place.folder);
}

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

describe('ossmodelconnector', () => {
  const fitting = interpreters.filter(({ version }) => !/^3\.[67]\./.test(version));
  it.each(fitting)('answers every call as a stream does, in Python $version', async ({ path: python }) => {
    const content = Buffer.concat([Buffer.from('first\nsecond\nthé'), randomBytes(20 * MIB)]);
    const oss = await startOss({ 'bkt/dir/a b': content, 'bkt/t': Buffer.from('é\nb') });
    const place = { ...pythonPlace(oss), python };
    const found = await findings(
      place,
      `
import ctypes, io
c = connect()
o = c.open('oss://bkt/dir/a b')
size = o.size()
whole = o.read()
r = {'size': size, 'key': o.key, 'sha': hashlib.sha256(whole).hexdigest()}
r['end'] = [o.read(4).decode(), o.tell()]
r['seek'] = [o.seek(0), o.seek(3, 1), o.seek(-2, 2), o.seek(6)]
r['lines'] = [o.readline().decode(), o.tell()]
buf = bytearray(9 * 1024 * 1024)
o.seek(1)
r['readinto'] = [o.readinto(buf), bytes(buf) == whole[1:len(buf) + 1], o.tell() == len(buf) + 1]
o.seek(size - 5)
r['rest'] = [o.readinto(buf), bytes(buf[:5]) == whole[-5:], o.readinto(buf)]
r['mmap'] = ctypes.string_at(o.mmap(), size) == whole
r['memory'] = bytes(o.memory()) == whole
r['modes'] = [o.readable(), o.seekable(), o.writable(), isinstance(o, io.RawIOBase)]
with o: pass
r['closed'] = o.closed
try: o.read()
except ValueError as e: r['after'] = str(e)
t = c.open('oss://bkt/t', False)
r['text'] = [t.read(1), t.readline(), t.readlines(), t.size()]
with c.open('oss://bkt/t') as o: r['iter'] = [line.decode() for line in o]
try: c.open('oss://bkt/none')
except FileNotFoundError as e: r['none'] = str(e)
try: c.open('s3://bkt/none')
except ValueError as e: r['uri'] = str(e)
for arguments in [dict(endpoint=''), dict(endpoint='x')]:
    try: OssModelConnector(**arguments)
    except ValueError as e: r.setdefault('constructor', []).append(str(e))
c.close()
print(json.dumps(r))
`,
    );
    expect(found).toEqual({
      ...{ size: content.length, key: 'dir/a b', sha: sha256(content), end: ['', content.length] },
      ...{ seek: [0, 3, content.length - 2, 6], lines: ['second\n', 13] },
      ...{ readinto: [9 * MIB, true, true], rest: [5, true, 0], mmap: true, memory: true },
      ...{ modes: [true, true, false, true], closed: true, after: 'I/O operation on closed file.' },
      ...{ text: ['é', '\n', ['b'], 4], iter: ['é\n', 'b'] },
      none: '[Errno 2] oss://bkt/none: there is no such object',
      uri: '"s3://bkt/none": expected oss://BUCKET/NAME',
      constructor: ['endpoint must be non-empty', 'Either cred_path or cred_provider must be provided'],
    });
    await expectNothingLeft(place);
  });

  it('lists', async () => {
    const names = Array.from({ length: 1500 }, (_, index) => `bkt/d/é ${String(index).padStart(4, '0')}`);
    const place = pythonPlace(
      await startOss(Object.fromEntries(names.map((name) => [name, Buffer.from('ab')]))),
    );
    const found = await findings(
      place,
      `
c = connect()
objs = c.list('bkt', 'd/')
fast = c.list('bkt', 'd/', True)
print(json.dumps([len(objs), objs[7].key, objs[7].size, sorted(fast) == objs, c.list('bkt', 'x')]))
`,
    );
    expect(found).toEqual([1500, 'd/é 0007', 2, true, []]);
  });

  it('gives memory back by close, by del and by the garbage collector', async () => {
    const objects = Object.fromEntries(['a', 'b', 'c'].map((name) => [`bkt/${name}`, randomBytes(MIB)]));
    const place = pythonPlace(await startOss(objects));
    const found = await findings(
      place,
      `
c = connect()
a, b, d = [c.open('oss://bkt/' + name) for name in 'abc']
b.me = b
assert len(held()) == 3
a.close()
until(lambda: len(held()) == 2)
del b
gc.collect()
until(lambda: len(held()) == 1)
del c
gc.collect()
found = len(d.read())
del d
gc.collect()
until(lambda: len(held()) == 0)
print(json.dumps(found))
`,
    );
    expect(found, 'an object keeps its connector').toBe(MIB);
    await expectNothingLeft(place);
  });

  it('reads 38 parts within its memory, and again', async () => {
    const names = Array.from({ length: 38 }, (_, index) => `bkt/${String(index).padStart(2, '0')}`);
    const objects = Object.fromEntries(names.map((name) => [name, randomBytes(MIB)]));
    const place = pythonPlace(await startOss(objects), { memoryBytes: 8 * MIB });
    const found = await findings(
      place,
      `
c = connect()
objs = [c.open('oss://bkt/%02d' % i) for i in range(38)]
most, shas, buf = 0, [], bytearray(300000)
for o in objs:
    sha = hashlib.sha256()
    while True:
        data = o.read(300000)
        most = max(most, len(held()))
        if not data: break
        sha.update(data)
    shas.append(sha.hexdigest())
for i, o in enumerate(objs):
    sha = hashlib.sha256()
    o.seek(0)
    while True:
        n = o.readinto(buf)
        if n == 0: break
        sha.update(buf[:n])
    assert sha.hexdigest() == shas[i]
print(json.dumps([most <= 8, shas]))
`,
    );
    expect(found).toEqual([true, Object.values(objects).map(sha256)]);
  });

  it('serves forked processes', async () => {
    const content = randomBytes(12 * MIB);
    const place = pythonPlace(await startOss({ 'bkt/a': content, 'bkt/b': content }));
    const found = await findings(
      place,
      `
import multiprocessing
c = connect()
a = c.open('oss://bkt/a')
a.read(100)
def child(queue):
    rest = a.read()
    other = c.open('oss://bkt/b').read()
    queue.put([hashlib.sha256(rest).hexdigest(), hashlib.sha256(other).hexdigest()])
context = multiprocessing.get_context('fork')
queue = context.Queue()
process = context.Process(target=child, args=(queue,))
process.start()
of_child = queue.get(timeout=60)
process.join()
print(json.dumps([of_child, hashlib.sha256(a.read()).hexdigest(), process.exitcode]))
`,
    );
    const rest = sha256(content.subarray(100));
    expect(found).toEqual([[rest, sha256(content)], rest, 0]);
    await expectNothingLeft(place);
  });

  it('fails, and gives no wrong bytes, when its server is killed', async () => {
    const oss = await startOss({ 'bkt/a': randomBytes(40 * MIB), 'bkt/b': Buffer.from('b') });
    oss.trouble = (request) => /bytes=(?!0-)/.test(request.headers.range ?? ''); // only the first chunk ever comes
    const place = pythonPlace(oss);
    const found = await findings(
      place,
      `
import signal, threading
from ossmodelconnector import _server
c = connect()
a = c.open('oss://bkt/a')
first = a.read(1000)
def kill():
    until(lambda: c._channel.link.pending)
    os.kill(_server._own[0].pid, signal.SIGKILL)
threading.Thread(target=kill).start()
r = [len(first)]
try: a.read()
except OSError as e: r.append(str(e))
try: c.open('oss://bkt/b')
except OSError as e: r.append(str(e))
r.append(connect().open('oss://bkt/b').read().decode())
print(json.dumps(r))
`,
    );
    const gone = 'the server of the connector has ended; make a new OssModelConnector';
    expect(found).toEqual([1000, gone, gone, 'b']);
    await expectNothingLeft(place);
  });

  it('tells what OSS says, and takes a renewed credentials file', async () => {
    const content = randomBytes(MIB);
    const oss = await startOss({ 'bkt/a': content, 'bkt/b': content, 'bkt/c': content });
    oss.keys.clear();
    oss.keys.set('sts', { secret: 's', token: 't' });
    oss.trouble = (request, response) => {
      const isB = request.url === '/bkt/b' && request.headers.range !== 'bytes=0-0';
      if (isB) refuse(response, 403, 'AccessDenied');
      return isB;
    };
    const place = pythonPlace(oss);
    const path = join(place.folder, 'credentials');
    const file = (token: string, expiration: string) =>
      JSON.stringify({
        AccessKeyId: 'sts',
        AccessKeySecret: 's',
        SecurityToken: token,
        Expiration: expiration,
      });
    writeFileSync(path, file('t', '2199-01-01T00:00:00Z'));
    const found = await findings(
      place,
      `
class Broken:
    def get_credentials(self): raise KeyError('no role')
r = []
path = ${JSON.stringify(path)}
c = connect(cred_provider=None, cred_path=path)
b = c.open('oss://bkt/b')
try: b.read()
except OssError as e: r.append([e.code, str(e)])
open(path, 'w').write(${JSON.stringify(file('old', '2199-01-01T00:00:00Z'))})
try: c.open('oss://bkt/c')
except OssError as e: r.append([e.code, str(e)])
open(path, 'w').write(${JSON.stringify(file('t', '2199-01-01T00:00:00Z'))})
r.append(len(c.open('oss://bkt/c').read()))
try: connect(cred_provider=Broken()).open('oss://bkt/c')
except OssError as e: r.append([e.code, str(e)])
print(json.dumps(r))
`,
    );
    const asked = `asked with the credentials of ${path}`;
    expect(found).toEqual([
      ['SOURCE_REFUSED', `oss://bkt/b: the server answers 403 AccessDenied: no; ${asked}`],
      ['SOURCE_REFUSED', `oss://bkt/c: the server answers 403 InvalidSecurityToken: no; ${asked}`],
      MIB,
      ['SOURCE_CREDENTIALS', "the credentials provider failed: KeyError: 'no role'"],
    ]);
  });

  it('names line and column of a mistake in its configuration', async () => {
    const place = pythonPlace(await startOss());
    writeFileSync(place.configPath, '{\n  "prefetch": {}\n  "fastList": {}\n}');
    const found = await findings(
      place,
      'try: connect()\nexcept ValueError as e: print(json.dumps(str(e)))\n',
    );
    expect(found).toBe(`${place.configPath}:3:3: expected "," or "}", found "`);
  });

  it('warns of what has no effect in its configuration', async () => {
    const place = pythonPlace(await startOss());
    const logs = { logPath: '/proc/none/log', auditPath: join(place.folder, 'audit') };
    const config = { ...logs, uploadConcurrency: 64, prefetch: { directory: place.memory } };
    writeFileSync(place.configPath, JSON.stringify(config));
    const found = await findings(
      place,
      `
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    c = connect()
print(json.dumps([str(each.message) for each in caught]))
`,
    );
    expect(found).toEqual([
      `${place.configPath}: uploadConcurrency is not known and has no effect`,
      expect.stringMatching(/^\/proc\/none\/log: nothing is written there: ENOENT/),
    ]);
  });

  it('says why its server cannot start', async () => {
    const place = pythonPlace(await startOss());
    const missing = { ...place, env: { ...place.env, MODELSERVE_BIN: '/nowhere/modelserve.js' } };
    const found = await findings(
      missing,
      'try: connect()\nexcept RuntimeError as e: print(json.dumps(str(e)))\n',
    );
    expect(found).toMatch(/^modelserve's connector cannot be started .*Cannot find module/s);
  });

  it('serves several processes from one server', async () => {
    const content = randomBytes(10 * MIB);
    const sha = sha256(content);
    const place = pythonPlace(await startOss({ 'bkt/a': content }));
    const socket = join(place.folder, 's');
    const server = spawn(process.execPath, [PROGRAM, 'connector', '--socket', socket], { env: place.env });
    onTestFinished(() => void server.kill('SIGKILL'));
    const ended = new Promise((done) => server.once('close', done));
    await new Promise((done) => server.stdout.once('data', done));
    const given = {
      ...place,
      env: { ...place.env, MODELSERVE_CONNECTOR: socket, MODELSERVE_BIN: '/nowhere' },
    };
    const program = `
c = connect()
o = c.open('oss://bkt/a')
open(os.path.join(os.environ['TMPDIR'], 'here-%d' % os.getpid()), 'w')
until(lambda: sum(name.startswith('here-') for name in os.listdir(os.environ['TMPDIR'])) == 2)
print(json.dumps(hashlib.sha256(o.read()).hexdigest()))
`;
    expect(await Promise.all([findings(given, program), findings(given, program)])).toEqual([sha, sha]);
    expect(await ended, 'with its last client').toBe(0);
  });
});
