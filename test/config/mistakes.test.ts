import { describe, expect, it } from 'vitest';
import { compiled, mistakesOf, PACKAGES, warningsOf } from './project-fixture.ts';

const ECHO = '[algopkg.Echo]\nbackend = EchoBackend\n';
const GPU = 'a fraction of one GPU with at most 3 decimals (such as 0.25), or a whole number of GPUs';
const ROUTE = 'a path such as extract or team/extract, of letters, digits, "-", "_", "." and "~"';
const RESERVED = 'as the first part of a route -, api, metrics, v1, v2 are reserved';
const STREAM = 'on, off, memory, or memory:SECONDS with 1 to 86400';
const INTERPRETER = 'a version such as 3.9, or the absolute path of an interpreter';

describe('values', () => {
  const table: readonly [line: string, message: string][] = [
    [
      'gpu_cost = 1.5',
      `gpu_cost: expected ${GPU}, found "1.5"; did you mean 1 or 2? From 1 up a replica gets whole GPUs`,
    ],
    ['gpu_cost = -0.5', `gpu_cost: expected ${GPU}, found "-0.5"`],
    ['gpu_cost = 0.3333', `gpu_cost: expected ${GPU}, found "0.3333"`],
    ['gpu_cost = half', `gpu_cost: expected ${GPU}, found "half"`],
    ['gpu_cost =', `gpu_cost: expected ${GPU}, found ""; leave the line out for the default`],
    ['cpu_cost = -1', 'cpu_cost: expected a number of CPUs from 0 up, with at most 3 decimals, found "-1"'],
    ['replicas = 1.5', 'replicas: expected a whole number from 0 to 10000, found "1.5"'],
    [
      'memory = 2 apples',
      'memory: expected a size such as 512MiB or 2GiB, or 0, found "2 apples"; the units are B, kB, MB, GB, TB and KiB, MiB, GiB, TiB',
    ],
    ['stream = maybe', `stream: expected ${STREAM}, found "maybe"`],
    ['stream = memory:100000', `stream: expected ${STREAM}, found "memory:100000"`],
    ['memory = lots', 'memory: expected a size such as 512MiB or 2GiB, or 0, found "lots"'],
    ['route = /', `route: expected ${ROUTE}, found "/"`],
    ['route = a//b', `route: expected ${ROUTE}, found "a//b"`],
    ['route = a/../b', `route: expected ${ROUTE}, found "a/../b"`],
    ['route = a b', `route: expected ${ROUTE}, found "a b"`],
    ['route = /api/x', `route: expected ${ROUTE}, found "/api/x"; ${RESERVED}`],
    ['route = -', `route: expected ${ROUTE}, found "-"; ${RESERVED}`],
    [
      'method = GET, FETCH',
      'method: expected one or more of GET, POST, PUT, PATCH, DELETE, separated by commas, found "GET, FETCH"',
    ],
    ['max_ongoing_requests = 0', 'max_ongoing_requests: expected a whole number from 1 to 10000, found "0"'],
    [
      'request_timeout_s = 0',
      'request_timeout_s: expected seconds from 0.001 to 86400, with at most 3 decimals, found "0"',
    ],
    [
      'min_ready_s = 1 min',
      'min_ready_s: expected seconds from 0 to 86400, with at most 3 decimals, found "1 min"',
    ],
    ['retries = many', 'retries: expected a whole number from 0 to 10, found "many"'],
    ['max_batch_size = 0', 'max_batch_size: expected a whole number from 1 to 4096, found "0"'],
    ['concurrency = 0', 'concurrency: expected a whole number from 1 to 1024, found "0"'],
    ['api_keys = sesame', 'api_keys: expected env:NAME or file:/ABSOLUTE/PATH, found "sesame"'],
    ['run_as = a b', 'run_as: expected a user, or user:group, by name or number, found "a b"'],
    [
      'run_as = root',
      'run_as: expected a user, or user:group, by name or number, found "root"; leave the line out for what runs as the node does',
    ],
    [
      'run_as = 0:1000',
      'run_as: expected a user, or user:group, by name or number, found "0:1000"; leave the line out for what runs as the node does',
    ],
    ['expose_errors = yes', 'expose_errors: expected auto, on or off, found "yes"'],
    ['python = python3.9', `python: expected ${INTERPRETER}, found "python3.9"`],
    ['python = venv/bin/python', `python: expected ${INTERPRETER}, found "venv/bin/python"`],
    [
      'model = ../secret',
      'model: expected file names below Model_ZOO or URIs, separated by commas, found "../secret"; "../secret" leads out of Model_ZOO: put the file there (or a link to it)',
    ],
    [
      'model = echo_v1.onnx, /etc/passwd',
      'model: expected file names below Model_ZOO or URIs, separated by commas, found "echo_v1.onnx, /etc/passwd"; "/etc/passwd" leads out of Model_ZOO: put the file there (or a link to it)',
    ],
    [
      'model = echo_v2.onnx',
      'model: expected a file "echo_v2.onnx" in Model_ZOO, found no such file; did you mean "echo_v1.onnx"?',
    ],
    [
      'model = nothing-alike',
      'model: expected a file "nothing-alike" in Model_ZOO, found no such file; there are echo_v1.onnx, sub/labels.json',
    ],
    ['model = sub', 'model: expected a file "sub" in Model_ZOO, found a folder; name the files in it'],
    [
      'model = nul\0',
      'model: expected a file "nul\u{fffd}" in Model_ZOO, found no such file; there are echo_v1.onnx, sub/labels.json',
    ],
    [
      'env.1X = 2',
      'env.1X: expected the name of an environment variable after "env.", found "1X"; such names have letters, digits and "_"',
    ],
    [
      'env.CUDA_VISIBLE_DEVICES = 0',
      'env.CUDA_VISIBLE_DEVICES: expected a variable that modelserve does not set itself, found "CUDA_VISIBLE_DEVICES"; a replica gets its GPUs by gpu_cost',
    ],
    [
      'env.MODELSERVE_TOKEN = x',
      'env.MODELSERVE_TOKEN: expected a variable that modelserve does not set itself, found "MODELSERVE_TOKEN"; these names are taken',
    ],
    [
      'env.KEY = abc # def',
      'env.KEY: expected a value in double quotes where the line contains "#" or ";", found "abc # def"; a comment can stand on a line of its own',
    ],
    [
      'env.KEY = abc#def',
      'env.KEY: expected a value in double quotes where the line contains "#" or ";", found "abc#def"; a comment can stand on a line of its own',
    ],
    [
      'model = a;b',
      'model: expected a value whose ";" stands in quotes, found "a;b"; put the value in double quotes, or a space before ";" if a comment begins there',
    ],
    [
      'replica = 2',
      'replica: expected a key that this section has, found an unknown one; did you mean "replicas"?',
    ],
    [
      'gpucost = 1',
      'gpucost: expected a key that this section has, found an unknown one; did you mean "gpu_cost"?',
    ],
    [
      'Method = GET',
      'Method: expected a key that this section has, found an unknown one; did you mean "method"?',
    ],
    [
      'port = 1',
      'port: expected a key that this section has, found an unknown one; it belongs into [MODEL SERVE]',
    ],
    [
      'colour = red',
      'colour: expected a key that this section has, found an unknown one; `modelserve config` lists the keys',
    ],
  ];
  it.each(table)('refuses %s', async (line, message) => {
    expect(await mistakesOf(`${ECHO}${line}\n`)).toEqual([`conf.ini:3 [algopkg.Echo] ${message}`]);
  });

  it.each([
    ['gpu_cost = 0.5000', { gpuMilli: 500 }],
    ['gpu_cost = .25', { gpuMilli: 250 }],
    ['gpu_cost = 2.0', { gpuMilli: 2000 }],
    ['replicas = 3   # enough', { replicas: 3 }],
    ['replicas = "3" ; enough', { replicas: 3 }],
    ['memory = 1 gb', { memoryBytes: 1_000_000_000 }],
    ['memory = 4096', { memoryBytes: 4096 }],
    ['method = delete', { methods: ['POST', 'DELETE'] }],
    ['python = /opt/python/bin/python', { python: '/opt/python/bin/python' }],
    ['env.KEY = "abc # def"', { env: { KEY: 'abc # def' } }],
    ['env.KEY = abc\\#def', { env: { KEY: 'abc#def' } }],
    ['env.KEY = true', { env: { KEY: 'true' } }],
    ['env.KEY =', { env: { KEY: '' } }],
    ['env.KEY = a = b', { env: { KEY: 'a = b' } }],
  ])('reads %s', async (line, fields) => {
    const conf = await compiled(`${ECHO}${line}\n`);
    expect(conf.deployments[0]).toMatchObject(fields);
  });

  it('refuses a port that is none', async () => {
    expect(await mistakesOf('[MODEL SERVE]\nport = 80a\nreplicas = 2\n')).toEqual([
      'conf.ini:2 [MODEL SERVE] port: expected a whole number from 1 to 65535, found "80a"',
      'conf.ini:3 [MODEL SERVE] replicas: expected a key that this section has, found an unknown one; it belongs into an [algopkg.*] section',
    ]);
  });
});

describe('structure', () => {
  const table: readonly [name: string, conf: string, messages: readonly string[]][] = [
    [
      'a section a second time, whose keys are nobody’s',
      `${ECHO}[algopkg.Echo]\nreplicas = x\n`,
      [
        'conf.ini:3 [algopkg.Echo]: expected each section once, found it a second time (the first is at line 1); to deploy the same package twice, name the other section [algopkg.Echo.NAME]',
      ],
    ],
    [
      'the settings a second time',
      '[MODEL SERVE]\n[MODEL SERVE]\n',
      [
        'conf.ini:2 [MODEL SERVE]: expected each section once, found it a second time (the first is at line 1); put all its keys below the first',
      ],
    ],
    [
      'a key a second time',
      `${ECHO}replicas = 1\nreplicas = 2\n`,
      [
        'conf.ini:4 [algopkg.Echo] replicas: expected each key once, found it a second time (the first is at line 3); remove one of the two',
      ],
    ],
    [
      'a bare key',
      `${ECHO}replicas\n`,
      ['conf.ini:3 [algopkg.Echo]: expected key = value, found "replicas"'],
    ],
    [
      'a colon between key and value',
      `${ECHO}replicas: 2\n`,
      [
        'conf.ini:3 [algopkg.Echo]: expected key = value, found "replicas: 2"; write "=" between key and value; a value goes on one line',
      ],
    ],
    ['a value without key', `${ECHO}= 2\n`, ['conf.ini:3 [algopkg.Echo]: expected key = value, found "= 2"']],
    [
      'a key outside any section',
      'port = 1\n',
      [
        'conf.ini:1 port: expected a section header such as [MODEL SERVE] above the first key, found "port = 1"',
      ],
    ],
    [
      'a header that does not end',
      '[algopkg.Echo\nbackend = EchoBackend\n',
      [
        'conf.ini:1: expected a section header such as [algopkg.Echo] alone on its line, found "[algopkg.Echo"',
      ],
    ],
    [
      'a misspelt prefix',
      '[algopgk.Echo]\n',
      [
        'conf.ini:1 [algopgk.Echo]: expected [MODEL SERVE] or [algopkg.PACKAGE], found an unknown section; did you mean [algopkg.Echo]?',
      ],
    ],
    [
      'a package without prefix',
      '[Echo]\n',
      [
        'conf.ini:1 [Echo]: expected [MODEL SERVE] or [algopkg.PACKAGE], found an unknown section; did you mean [algopkg.Echo]?',
      ],
    ],
    [
      'settings in another case',
      '[model serve]\n',
      [
        'conf.ini:1 [model serve]: expected [MODEL SERVE] or [algopkg.PACKAGE], found an unknown section; did you mean [MODEL SERVE]?',
      ],
    ],
    [
      'a section of nothing known',
      '[redis]\n',
      ['conf.ini:1 [redis]: expected [MODEL SERVE] or [algopkg.PACKAGE], found an unknown section'],
    ],
    [
      'a name that leads elsewhere',
      '[algopkg.../Echo]\n',
      [
        'conf.ini:1 [algopkg.../Echo]: expected a package, or a package, "." and a name, of letters, digits, "_" and "-", at most 63 characters each, found "../Echo"',
      ],
    ],
    [
      'a route that another has by name',
      `${ECHO}[algopkg.Iris]\nbackend = IrisBackend\nroute = /Echo\n`,
      [
        'conf.ini:5 [algopkg.Iris] route: expected a route of its own, found "Echo", which [algopkg.Echo] has at line 1',
      ],
    ],
    [
      'a route twice, the first section having another mistake',
      `${ECHO}route = x\nreplicas = -1\n[algopkg.Iris]\nbackend = IrisBackend\nroute = x\n`,
      [
        'conf.ini:4 [algopkg.Echo] replicas: expected a whole number from 0 to 10000, found "-1"',
        'conf.ini:7 [algopkg.Iris] route: expected a route of its own, found "x", which [algopkg.Echo] has at line 3',
      ],
    ],
  ];
  it.each(table)('refuses %s', async (_name, conf, messages) => {
    expect(await mistakesOf(conf)).toEqual(messages);
  });

  it('keeps a comment behind a header', async () => {
    const conf = await compiled(
      '[MODEL SERVE] # all nodes\nport = 1\n[algopkg.Echo] ; one\nbackend = EchoBackend\n',
    );
    expect(conf.settings.port).toBe(1);
    expect(conf.deployments).toHaveLength(1);
  });

  it('lets a section share its name with a key of another', async () => {
    const conf = await compiled(`${ECHO}route = a\n[algopkg.Echo.route]\nbackend = EchoBackend\nroute = b\n`);
    expect(conf.deployments.map(({ name, route }) => [name, route])).toEqual([
      ['Echo', 'a'],
      ['Echo.route', 'b'],
    ]);
  });
});

describe('what a section names', () => {
  const table: readonly [
    name: string,
    conf: string,
    files: Readonly<Record<string, string>>,
    message: string,
  ][] = [
    [
      'a package that is misspelt',
      '[algopkg.Ehco]\nbackend = EchoBackend\n',
      PACKAGES,
      'conf.ini:1 [algopkg.Ehco]: expected the package\'s folder, algopkg/Ehco, found no such folder; did you mean "Echo"?',
    ],
    [
      'a package of another name',
      '[algopkg.Sentiment]\nbackend = EchoBackend\n',
      PACKAGES,
      "conf.ini:1 [algopkg.Sentiment]: expected the package's folder, algopkg/Sentiment, found no such folder; there are Echo, Iris",
    ],
    [
      'a package in another case',
      '[algopkg.echo]\nbackend = EchoBackend\n',
      PACKAGES,
      'conf.ini:1 [algopkg.echo]: expected the package\'s folder, algopkg/echo, found no such folder; did you mean "Echo"?',
    ],
    [
      'a package where there is no folder of them',
      '[algopkg.Echo]\nbackend = EchoBackend\n',
      {},
      "conf.ini:1 [algopkg.Echo]: expected the package's folder, algopkg/Echo, found no folder algopkg; it should be algopkg",
    ],
    [
      'a package without backend file',
      '[algopkg.Echo]\nbackend = EchoBackend\n',
      { 'algopkg/Echo/__init__.py': '' },
      'conf.ini:1 [algopkg.Echo]: expected one of backend.py, backend.ts, backend.mts, backend.js, backend.mjs, backend.cjs in algopkg/Echo, found none of them; `modelserve init NAME` makes a package that works',
    ],
    [
      'a package with two backend files',
      '[algopkg.Echo]\nbackend = EchoBackend\n',
      { ...PACKAGES, 'algopkg/Echo/backend.js': '' },
      'conf.ini:1 [algopkg.Echo]: expected one of backend.py, backend.ts, backend.mts, backend.js, backend.mjs, backend.cjs in algopkg/Echo, found both algopkg/Echo/backend.py and algopkg/Echo/backend.js; remove one of the two',
    ],
    [
      'no class',
      '[algopkg.Echo]\n',
      PACKAGES,
      'conf.ini:1 [algopkg.Echo] backend: expected the name of a class, found no such key; add a line such as "backend = algo_backend"',
    ],
    [
      'what cannot be a class',
      '[algopkg.Echo]\nbackend = echo.Backend\n',
      PACKAGES,
      'conf.ini:2 [algopkg.Echo] backend: expected the name of a class, found "echo.Backend"',
    ],
    [
      'a class that is misspelt',
      '[algopkg.Echo]\nbackend = EchoBackened\n',
      PACKAGES,
      'conf.ini:2 [algopkg.Echo] backend: expected a class in algopkg/Echo/backend.py, found no "EchoBackened"; did you mean "EchoBackend"?',
    ],
    [
      'a class in a file without any',
      '[algopkg.Echo]\nbackend = EchoBackend\n',
      { 'algopkg/Echo/backend.py': 'x = 1\n' },
      'conf.ini:2 [algopkg.Echo] backend: expected a class in algopkg/Echo/backend.py, found no "EchoBackend"; there is none',
    ],
    [
      'a class that is not exported',
      '[algopkg.Iris]\nbackend = IrisBackend\n',
      { 'algopkg/Iris/backend.ts': 'class IrisBackend {}\n' },
      'conf.ini:2 [algopkg.Iris] backend: expected a class in algopkg/Iris/backend.ts, found no "IrisBackend"; it is there without "export": write "export class IrisBackend"',
    ],
    [
      'a model where there is no folder of them',
      '[algopkg.Echo]\nbackend = EchoBackend\nmodel = a.onnx\n',
      { 'algopkg/Echo/backend.py': 'class EchoBackend: pass' },
      'conf.ini:3 [algopkg.Echo] model: expected a file "a.onnx" in Model_ZOO, found no folder Model_ZOO; it should be Model_ZOO',
    ],
    [
      'no route, being named like a reserved one',
      '[algopkg.v1]\nbackend = EchoBackend\n',
      { 'algopkg/v1/backend.py': 'class EchoBackend: pass' },
      `conf.ini:1 [algopkg.v1] route: expected ${ROUTE}, found "v1" by default; ${RESERVED}; add a line "route = …"`,
    ],
  ];
  it.each(table)('refuses %s', async (_name, conf, files, message) => {
    expect(await mistakesOf(conf, files)).toEqual([message]);
  });

  it('warns of a class that may be imported', async () => {
    const files = { 'algopkg/Echo/backend.py': 'from .impl import *\n' };
    expect(await warningsOf(ECHO, files)).toEqual([
      'conf.ini:2 [algopkg.Echo] backend: expected a class in algopkg/Echo/backend.py, found none that is certain to be "EchoBackend"; it may be imported or made while the file runs; `modelserve check` tells',
    ]);
  });

  it('warns of batches that never get full, not of those that make their own room', async () => {
    expect(await warningsOf(`${ECHO}max_batch_size = 32\nmax_ongoing_requests = 31\n`)).toEqual([
      'conf.ini:4 [algopkg.Echo] max_ongoing_requests: expected at least max_batch_size, 32, better twice that, found "31"; no batch ever gets full: raise it, or leave it out',
    ]);
    expect(await warningsOf(`${ECHO}max_batch_size = 32\nconcurrency = 20\n`)).toEqual([]);
  });

  it('warns of more calls at once than there are requests', async () => {
    expect(await warningsOf(`${ECHO}concurrency = 17\n`)).toEqual([
      'conf.ini:3 [algopkg.Echo] concurrency: expected at most max_ongoing_requests, 16, found "17"; a replica never has that many requests: raise max_ongoing_requests, too',
    ]);
  });
});

it('a value of half a million slashes is read like any other', async () => {
  const slashes = '/'.repeat(500_000);
  expect(await mistakesOf(`${ECHO}route = a${slashes}b\nwheels = a${slashes}b`)).toEqual([
    expect.stringContaining(`route: expected ${ROUTE}`),
    expect.stringContaining('wheels: expected'),
  ]);
});
