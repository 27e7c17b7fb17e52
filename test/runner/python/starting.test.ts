import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { python, pythonMinor } from './interpreters.ts';
import { referenceTemplate as template } from './reference-template.ts';
import { mainPath, type ReplicaOptions, TestReplica } from './replica.ts';
import { until } from './until.ts';

function replicaOf(options: Omit<ReplicaOptions, 'python'>): TestReplica {
  const replica = new TestReplica({ python: python?.path ?? '', ...options });
  onTestFinished(() => replica.dispose());
  return replica;
}

/** What a start came to: `ready`, or the error that the agent is told. */
async function outcomeOf(replica: TestReplica): Promise<'ready' | { message: string; traceback: string }> {
  replica.start();
  const client = await replica.connect('agent');
  await until(() => ['ready', 'failed'].includes(client.phase), 'ready or failed');
  if (client.phase === 'ready') return 'ready';
  expect(await replica.exited()).toEqual({ code: 1, signal: null });
  expect(existsSync(replica.socket)).toBe(false);
  const states = client.notifications.flatMap((each) => (each.event === 'state' ? [each.state] : []));
  const error = states.at(-1)?.error ?? client.hello?.state.error ?? null;
  return error ?? { message: 'none', traceback: 'none' };
}

const initWith = (body: string, rest = '') => `
import traceback, logging, sys, warnings
class Backend:
    def __init__(self, model_path):
${body.replace(/^/gm, '        ')}
${rest.replace(/^/gm, '    ')}
    def __call__(self, request):
        return 1
`;

describe.skipIf(python === null)('a start has failed when', () => {
  it.each<[string, string, string]>([
    ['an exception leaves __init__', initWith('raise ValueError("no model")'), 'ValueError: no model'],
    ['__init__ calls sys.exit', initWith('sys.exit(3)'), 'SystemExit: 3'],
    [
      '_model_init raises and the template prints it',
      template.replace('        # Add by user\n        pass', '        raise RuntimeError("broken weights")'),
      'RuntimeError: broken weights',
    ],
    [
      '_model_init raises and nobody says a word',
      initWith(
        'try:\n    self._model_init()\nexcept Exception:\n    self.model = None\nself.more = 1',
        'def _model_init(self):\n    raise RuntimeError("silent")',
      ),
      'RuntimeError: silent',
    ],
    [
      'an inherited _model_init raises silently',
      `
class Base:
    def _model_init(self):
        raise RuntimeError("inherited")
class Backend(Base):
    def __init__(self, model_path):
        try:
            self._model_init()
        except Exception:
            pass
    def __call__(self, request):
        return 1
`,
      'RuntimeError: inherited',
    ],
    [
      '__init__ catches it and prints the traceback, then goes on',
      initWith(
        'try:\n    open("/nowhere/model")\nexcept Exception:\n    traceback.print_exc()\nself.more = 1',
      ),
      'FileNotFoundError',
    ],
    [
      '__init__ catches it and prints its message in words of its own',
      initWith(
        'try:\n    raise ValueError("bad magic")\nexcept Exception as e:\n    print("模型加载失败", e)\nself.more = 1',
      ),
      'ValueError: bad magic',
    ],
    [
      '__init__ catches it and logs it',
      initWith(
        'try:\n    raise ValueError("bad magic")\nexcept Exception:\n    logging.exception("no")\nself.more = 1',
      ),
      'ValueError: bad magic',
    ],
    [
      '__init__ ends by catching everything and printing anything',
      initWith('try:\n    raise ValueError("bad magic")\nexcept Exception:\n    print("模型加载失败")'),
      'ValueError: bad magic',
    ],
    [
      'a helper of __init__ does the printing',
      initWith(
        'try:\n    raise ValueError("bad magic")\nexcept Exception as error:\n    self._report(error)\nself.more = 1',
        'def _report(self, error):\n    print("failed:", error)',
      ),
      'ValueError: bad magic',
    ],
    ['the file has a syntax error', 'class Backend:\n  def broken(:\n', 'SyntaxError'],
    [
      'a module is missing',
      'import no_such_module\n',
      "ModuleNotFoundError: No module named 'no_such_module'",
    ],
    ['the class is missing', 'class Backand:\n    pass\n', 'has no class Backend: did you mean Backand?'],
    ['the class answers nothing', 'class Backend:\n    pass\n', 'none of __call__(self, request), predict'],
    [
      'reconfigure raises',
      initWith('pass', 'async def reconfigure(self, config):\n    raise KeyError(config["a"])'),
      "KeyError: 'b'",
    ],
  ])('%s', async (_, backend, message) => {
    const name = backend === template || backend.includes('algo_backend') ? 'algo_backend' : 'Backend';
    const outcome = await outcomeOf(
      replicaOf({ backend, launch: { backend: name, user_config: { a: 'b' } } }),
    );
    expect(outcome).toMatchObject({ message: expect.stringContaining(message) });
    expect(outcome).not.toMatchObject({ traceback: expect.stringContaining('modelserve_runner') });
  });

  it('names the line and the remedy where the exception was caught', async () => {
    const backend = initWith('try:\n    raise ValueError("x")\nexcept Exception:\n    traceback.print_exc()');
    const outcome = await outcomeOf(replicaOf({ backend }));
    expect(outcome).toMatchObject({
      message: expect.stringContaining('printed in __init__, line 8; if that is no failure'),
    });
    expect(outcome).toMatchObject({
      traceback: expect.stringMatching(/^Traceback.*backend\.py", line 6, in __init__/s),
    });
  });

  it('starts of a missing model file fail with the template of the reference', async () => {
    const launch = { backend: 'algo_backend', model_path: '/nowhere,a.pb, b.pb' };
    expect(await outcomeOf(replicaOf({ backend: template, launch }))).toMatchObject({
      message: expect.stringContaining('AssertionError: Model Not Found'),
    });
  });
});

describe.skipIf(python === null)('a start has not failed when', () => {
  it.each<[string, string]>([
    [
      'a helper handles an exception and prints it',
      initWith(
        'self._load()',
        'def _load(self):\n    try:\n        import no_such_module\n    except ImportError:\n        traceback.print_exc()',
      ),
    ],
    [
      '_model_init handles an exception and prints it',
      initWith(
        'self._model_init()',
        'def _model_init(self):\n    try:\n        import no_such_module\n    except ImportError:\n        traceback.print_exc()',
      ),
    ],
    [
      '__init__ handles one without a word',
      initWith('try:\n    import no_such_module\nexcept ImportError:\n    self.m = None\nprint("on")'),
    ],
    [
      '__init__ handles one, says what it does instead, and goes on',
      initWith(
        'try:\n    import no_such_module\nexcept ImportError:\n    print("falling back")\nself.more = 1',
      ),
    ],
    [
      'it prints before and after',
      initWith(
        'print("loading")\ntry:\n    int("x")\nexcept ValueError:\n    pass\nprint("done", file=sys.stderr)',
      ),
    ],
    [
      'a base class from outside the package prints what it caught',
      initWith('super().__init__()').replace(
        'class Backend:',
        `library = {"__name__": "library"}
exec(compile("""
class Base:
    def __init__(self):
        try:
            int("x")
        except ValueError as error:
            print(error)
""", "/elsewhere/library.py", "exec"), library)
class Backend(library["Base"]):`,
      ),
    ],
    [
      'the module handles an exception at import',
      `try:\n    import no_such_module\nexcept ImportError as e:\n    print(e)\n${initWith('pass')}`,
    ],
    ['user_config is set and there is no reconfigure', initWith('pass')],
  ])('%s', async (_, backend) => {
    expect(await outcomeOf(replicaOf({ backend, launch: { user_config: {} } }))).toBe('ready');
  });
});

describe.skipIf(python === null)('importing', () => {
  const backend = `
import sibling
from . import relative
from .sub import deep
import algopkg.Echo.sibling as absolute
import modelserve_runner as mine
class Backend:
    def __init__(self, model_path):
        self.model_path = model_path
    def predict(self, parameters):
        return [sibling.NAME, relative.NAME, deep.NAME, absolute.NAME, mine.NAME, self.model_path, parameters]
`;
  const files = {
    'sibling.py': 'NAME = "sibling"',
    'relative.py': 'NAME = "relative"',
    'sub/__init__.py': '',
    'sub/deep.py': 'from ..relative import NAME',
    '__init__.py': '',
  };

  it('finds siblings plainly, relatively and by package, and leaves no bytecode in the snapshot', async () => {
    const replica = replicaOf({
      backend: backend.replace('import modelserve_runner as mine', 'import frames as mine'),
      files: { ...files, 'frames.py': 'NAME = "of the user"' },
      launch: { model_path: '/zoo,m1' },
    });
    const client = await (await replica.start().connect()).ready();
    expect((await client.call({ a: 1 })).json).toEqual([
      'sibling',
      'relative',
      'relative',
      'sibling',
      'of the user',
      '/zoo,m1',
      { a: 1 },
    ]);
    expect(await client.request({ query: 'b=2' }).outcome).toMatchObject({ status: 200 });
    expect(await client.call(undefined, { body: 'no json' })).toMatchObject({
      status: 400,
      json: { code: 'BAD_JSON' },
    });
    expect(readdirSync(join(replica.folder, 'code'), { recursive: true }).join('\n')).not.toContain(
      '__pycache__',
    );
  });

  it.skipIf(pythonMinor < 8)('keeps bytecode where it is told to (CPython 3.8 on)', async () => {
    const replica = replicaOf({ backend: initWith('import sibling'), files });
    const cache = join(replica.folder, 'cache');
    const launch: Record<string, unknown> = JSON.parse(readFileSync(replica.launchPath, 'utf8'));
    writeFileSync(replica.launchPath, JSON.stringify({ ...launch, pycache_dir: cache }));
    await (await replica.start().connect()).ready();
    expect(readdirSync(cache, { recursive: true }).join('\n')).toMatch(
      /algopkg\/Echo\/sibling\.cpython-\d+\.pyc/,
    );
    expect(readdirSync(join(replica.folder, 'code'), { recursive: true }).join('\n')).not.toContain(
      '__pycache__',
    );
  });

  it('leaves no bytecode in the snapshot from processes that multiprocessing starts afresh either', async () => {
    const replica = replicaOf({
      backend: `
import multiprocessing
from .sub import work
class Backend:
    def __init__(self, model_path):
        pass
    def predict(self, parameters):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.map(work.double, [1, 2])
`,
      files: { '__init__.py': '', 'sub/__init__.py': '', 'sub/work.py': 'def double(n):\n    return 2 * n' },
    });
    const client = await (await replica.start().connect()).ready();
    expect(await client.call({})).toMatchObject({ json: [2, 4] });
    expect(readdirSync(join(replica.folder, 'code'), { recursive: true }).join('\n')).not.toContain(
      '__pycache__',
    );
  });

  it('is not misled by an installed package called algopkg', async () => {
    const replica = replicaOf({ backend: initWith('pass') });
    const decoy = join(replica.folder, 'decoy', 'algopkg');
    mkdirSync(decoy, { recursive: true });
    writeFileSync(join(decoy, '__init__.py'), 'raise RuntimeError("the wrong one")');
    const { status, stdout } = check(replica, { PYTHONPATH: join(replica.folder, 'decoy') });
    expect({ status, stdout }).toEqual({ status: 0, stdout: '{"ok": true}\n' });
  });

  it.each<[string, string, Record<string, unknown>]>([
    ['a missing module', 'print("noise")\nimport sub.missing', { missing_module: 'sub' }],
    ['a missing class', 'x = 1', { missing_module: null }],
    ['a process that would end itself', 'import sys\nsys.exit(7)', { message: 'SystemExit: 7' }],
    ['a syntax error', 'def (', { traceback: expect.stringContaining('backend.py", line 1') }],
  ])('--check-import reports %s on one line', (_, source, expected) => {
    const { status, stdout } = check(replicaOf({ backend: source }));
    expect(status).toBe(1);
    expect(stdout.trim().split('\n')).toHaveLength(1);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, ...expected });
  });

  it('--check-import ends although the package left a thread behind', () => {
    const source = `import threading\nthreading.Event\nthreading.Thread(target=threading.Event().wait).start()\n${initWith('pass')}`;
    expect(check(replicaOf({ backend: source })).status).toBe(0);
  });

  it('names what is wrong with a launch file', () => {
    const replica = replicaOf({ backend: 'x = 1', launch: { concurrency: 'two' } });
    const { status, stderr } = spawnSync(python?.path ?? '', [mainPath, replica.launchPath], {
      encoding: 'utf8',
    });
    expect(status).toBe(2);
    expect(stderr).toContain("field concurrency has the wrong type: 'two'");
    expect(() => execFileSync(python?.path ?? '', [mainPath], { stdio: 'pipe' })).toThrow(/usage/);
  });
});

function check(
  replica: TestReplica,
  env: Record<string, string> = {},
): { status: number | null; stdout: string } {
  return spawnSync(python?.path ?? '', [mainPath, '--check-import', replica.launchPath], {
    encoding: 'utf8',
    timeout: 15_000,
    env,
  });
}
