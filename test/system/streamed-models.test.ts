import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { statePaths } from '../../src/config/paths.ts';
import { preloadLibrary } from '../../src/models/preload/preload-library.ts';
import { TestHead, type TestNode } from './support/cluster.ts';
import { Project } from './support/project.ts';
import { hasRedis } from './support/stores.ts';
import { TricklingStore } from './support/trickling-store.ts';
import { until } from './support/until.ts';

const MIB = 1024 ** 2;
const library = await preloadLibrary(process.env['PATH'] ?? '');
if (library.status === 'missing') {
  process.stdout.write(`skipped: models that come while they are loaded: ${library.reason}\n`);
}

/**
 * Reads a model in the ways that programs do: by name and size at first, the small file, one in a sub-process, one through a
 * map in a process forked by a process. Tells the store when it has read the small one, and what it found.
 */
const BACKEND = `
import hashlib, mmap, multiprocessing, os, subprocess, sys, urllib.request

STORE = '@STORE@'

def sha(data):
    return hashlib.sha256(data).hexdigest()

def mapped(path):
    with open(path, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        return sha(view)

class Backend:
    def __init__(self, model_path):
        zoo, name = model_path.split(',')
        path = lambda file: os.path.join(zoo, name, file)
        self.found = {'sizes': {file: os.path.getsize(path(file)) for file in sorted(os.listdir(os.path.join(zoo, name)))}}
        with open(path('config.json'), 'rb') as file:
            self.found['config.json'] = sha(file.read())
        urllib.request.urlopen(STORE + '/mark/config-read').read()
        self.found['a.bin'] = subprocess.check_output(['sha256sum', path('a.bin')], text=True).split()[0]
        with multiprocessing.get_context('spawn').Pool(1) as pool:
            self.found['b.bin'] = pool.apply(mapped, (path('b.bin'),))
        self.found['pid'] = os.getpid()

    async def __call__(self, request):
        return self.found
`;

/** Reads a file when it is loaded and at each request, which says what the file takes before. */
const JAVASCRIPT = `
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

const sha = (bytes) => createHash('sha256').update(bytes).digest('hex');

export class Backend {
  constructor(modelPath) {
    const [zoo, name] = modelPath.split(',');
    this.path = join(zoo, name, 'a.bin');
    this.first = sha(readFileSync(this.path));
  }
  async call() {
    const { blocks } = await stat(this.path);
    return { blocks, first: this.first, now: sha(await readFile(this.path)) };
  }
}
`;

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe.skipIf(!hasRedis || library.status === 'missing')('models that come while they are loaded', () => {
  const project = new Project();
  const files = {
    'config.json': Buffer.from('{"layers": 2}'),
    'a.bin': randomBytes(60 * MIB),
    'b.bin': randomBytes(60 * MIB + 5),
  };
  let store: TricklingStore;
  let head: TestHead;

  const put = (folder: string, over: Partial<typeof files> = {}): void => {
    for (const [name, content] of Object.entries({ ...files, ...over })) {
      store.files.set(`${folder}/${name}`, content);
    }
  };
  const section = (folder: string, over: Record<string, string | number> = {}): void =>
    project.sections({
      Remote: {
        ...{ backend: 'Backend', route: 'remote', min_ready_s: 0.2, stream: 'true' },
        ...{ model: store.folder(folder), ...over },
      },
    });
  const answer = async (): Promise<Record<string, unknown>> =>
    (await (await fetch(head.url('remote'), { method: 'POST', body: '{}' })).json()) as Record<
      string,
      unknown
    >;
  const right = {
    ...{
      'config.json': sha(files['config.json']),
      'a.bin': sha(files['a.bin']),
      'b.bin': sha(files['b.bin']),
    },
    sizes: { 'a.bin': 60 * MIB, 'b.bin': 60 * MIB + 5, 'config.json': 13 },
  };

  beforeAll(async () => {
    store = await TricklingStore.start();
    put('first');
    project.package('Remote', BACKEND.replace('@STORE@', store.url));
    section('first');
    store.bytesPerSecond = 40 * MIB;
    store.heldBack.add('first/b.bin');
    const starting = TestHead.start({ conf: project.conf });
    // The backend runs, and has read a file, while another has not even begun to come: else this would never end.
    await until('the backend to have read the small file', () => store.marks.length > 0, 60_000);
    store.heldBack.clear();
    head = await starting;
  });

  afterAll(async () => {
    await head?.dispose();
    await store?.stop();
    project.remove();
  });

  it('are read byte by byte as they are, in sub-processes too, and fetched once', async () => {
    expect(await answer()).toMatchObject(right);
    expect(store.marks[0]?.sentBytes).toBeLessThan(61 * MIB);
    const sizes = Object.values(files).map((content) => content.length);
    expect(store.sentBytes).toBe(sizes.reduce((sum, size) => sum + size));
    await until('it to be kept by its hash', () => readdirSync(join(head.stateDir, 'partial')).length === 0);
  });

  it('are models like all others once they have come: nothing changes, nothing is fetched', async () => {
    const { pid } = await answer();
    const { sentBytes } = store;
    expect((await head.apply()).stdout).toContain('Nothing changes.');
    expect([await answer(), store.sentBytes]).toEqual([expect.objectContaining({ pid }), sentBytes]);
  });

  it('that are replaced half-way fail the change with the reason; what served serves on', async () => {
    const before = await answer();
    put('second');
    section('second');
    store.heldBack.add('second/b.bin');
    const applied = head.apply();
    await until('the model to come', () => store.marks.length > 1, 60_000);
    put('second', { 'b.bin': randomBytes(60 * MIB + 5) });
    store.heldBack.clear();
    const { code, stdout, stderr } = await applied;
    expect(code).toBe(1);
    expect(stdout + stderr).toMatch(/second\/b\.bin was replaced or removed while it was fetched/);
    expect(await answer()).toEqual(before);
  });

  it('go on to come where the head was killed in the middle, to the same process', async () => {
    put('fourth', { 'a.bin': randomBytes(40 * MIB), 'b.bin': randomBytes(40 * MIB) });
    section('fourth');
    const marks = store.marks.length;
    store.heldBack.add('fourth/b.bin');
    store.sentBytes = 0;
    void head.apply();
    await until('the backend to have read the small file', () => store.marks.length > marks, 60_000);
    // What failed before has left a folder of its own, in which that file had come, too.
    const partial = join(head.stateDir, 'partial');
    const noted = () =>
      readdirSync(partial).map((name) => readFileSync(join(partial, name, 'progress.json'), 'utf8'));
    await until('another file to have come', () => noted().some((text) => text.includes('"a.bin":"Hw=="')));
    head.signal('SIGKILL');
    await head.ended();
    store.heldBack.clear();
    head.launch();
    const wanted = sha(store.files.get('fourth/b.bin') ?? Buffer.of());
    await until('the new model', async () => (await answer())['b.bin'] === wanted, 90_000);
    expect(store.marks).toHaveLength(marks + 1); // it was started once
    expect(store.sentBytes).toBe(80 * MIB + 13);
  });

  it('are read by JavaScript, lie in memory where a section says so, and come again when it was given back', async () => {
    put('script');
    project.write('algopkg/Script/backend.mjs', JAVASCRIPT);
    const keys = { backend: 'Backend', min_ready_s: 0.2, model: store.folder('script') };
    project.sections({ Script: { ...keys, route: 'remote', stream: 'memory:1' } });
    store.heldBack.add('script/a.bin');
    const applied = head.apply();
    const { memory, models } = statePaths(head.stateDir);
    const here = () =>
      existsSync(memory) ? readdirSync(memory).map((one) => join(memory, one, 'tree', 'a.bin')) : [];
    await until('the model to stand there', () => here().some(existsSync));
    store.heldBack.clear();
    expect(await applied).toMatchObject({ code: 0 });
    const kept = readdirSync(models);
    const [path = ''] = here();
    await until('its memory to be given back', () => statSync(path).blocks === 0);
    const found = await answer();
    expect(found).toEqual({ blocks: 0, first: right['a.bin'], now: right['a.bin'] });
    expect([readdirSync(models), statSync(path).blocks > 0]).toEqual([kept, true]);
  });

  it('reach a worker through the head while they come to it', async () => {
    put('third', { 'a.bin': randomBytes(30 * MIB), 'b.bin': randomBytes(30 * MIB) });
    section('third', { gpu_cost: 1 });
    const worker: TestNode = head.worker(['--num-gpus', '2']);
    worker.launch();
    try {
      await worker.says(/joined|node/i);
      store.sentBytes = 0;
      const marks = store.marks.length;
      store.heldBack.add('third/b.bin');
      const applied = head.apply(['--timeout', '90']);
      await until('the backend to have read the small file', () => store.marks.length > marks, 60_000);
      store.heldBack.clear();
      const { code, stdout } = await applied;
      expect([code, stdout]).toEqual([0, expect.stringContaining('in force')]);
      expect(await answer()).toMatchObject({
        'a.bin': sha(store.files.get('third/a.bin') ?? Buffer.of()),
        'b.bin': sha(store.files.get('third/b.bin') ?? Buffer.of()),
      });
      expect(store.sentBytes).toBe(60 * MIB + 13);
    } finally {
      await worker.dispose();
    }
  });
});
