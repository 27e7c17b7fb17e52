import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compileConf } from '../../src/config/compile.ts';
import { renderFinding } from '../../src/config/finding.ts';
import { SPEC } from '../support/spec.ts';
import { compiled, compileText, makeProject, mistakesOf, PACKAGES, warningsOf } from './project-fixture.ts';

/** The example of the system's own documentation, to the letter. */
const REFERENCE = `# fixed section name, don't change
[MODEL SERVE] 
# port for model serve REST API
port = 666         

# AlgoExample should be changed by user according to the project dir under algopkg folder
[algopkg.AlgoExample]
# algo_backend is your class name in script: ./algopkg/AlgoExample/backend.py
backend = algo_backend
# algoexample_model_v1.pb is your model filename in Model_ZOO, you can add multiple models separate with commas or leave it empty 
model = algoexample_model_v1.pb
# numbers of your specified model paralleled running in backend, caution: cpu cores is the upper bound for this setting
replicas = 1
# the gpu fraction of usage for one single model
gpu_cost = 1
# route for model serve REST API
route = extract
# request method for model serve REST API, please use default GET with json params
method = GET
`;
const REFERENCE_FILES = {
  'algopkg/AlgoExample/__init__.py': '',
  'algopkg/AlgoExample/backend.py': 'import os\n\nclass algo_backend(object):\n    pass\n',
  'Model_ZOO/algoexample_model_v1.pb': 'x',
};

const REFERENCE_SPEC = {
  ...SPEC,
  ...{ name: 'AlgoExample', packageName: 'AlgoExample', backend: 'algo_backend', route: 'extract' },
  ...{ gpuMilli: 1000, models: ['algoexample_model_v1.pb'] },
};

describe("the reference's example", () => {
  const variants: readonly [string, string][] = [
    ['verbatim', REFERENCE],
    ['indented as in its list', REFERENCE.replace(/^(?=.)/gm, '   ')],
    ['with CRLF', REFERENCE.replaceAll('\n', '\r\n')],
    ['with CR alone', REFERENCE.replaceAll('\n', '\r')],
    ['with a byte order mark', `\u{feff}${REFERENCE}`],
    ['with tabs', REFERENCE.replaceAll(' = ', '\t=\t')],
  ];
  it.each(variants)('compiles %s', async (_variant, text) => {
    const conf = await compiled(text, REFERENCE_FILES);
    expect(conf.settings).toEqual({
      port: 666,
      ingressProcesses: 1,
      maxBodyBytes: 67_108_864,
      metricsOpen: false,
      accessLog: false,
    });
    expect(conf.deployments).toEqual([REFERENCE_SPEC]);
    expect(conf.warnings).toEqual([]);
  });

  it('names absolute folders beside the file, and keeps its text', async () => {
    const folder = await makeProject({ ...REFERENCE_FILES, 'conf.ini': REFERENCE });
    const result = await compileConf(join(folder, 'conf.ini'));
    expect(result).toMatchObject({
      ok: true,
      conf: {
        confPath: join(folder, 'conf.ini'),
        confText: REFERENCE,
        projectDir: folder,
        packagesDir: join(folder, 'algopkg'),
        modelRoot: join(folder, 'Model_ZOO'),
      },
    });
  });
});

describe('what a section gives', () => {
  it.each([
    { words: ['on', 'true', 'True', 'ON'], isOn: true, exposed: 'always' },
    { words: ['off', 'false', 'FALSE', 'Off'], isOn: false, exposed: 'never' },
  ])('takes $words for the same at every switch', async ({ words, isOn, exposed }) => {
    const switches = ['stream', 'log_output', 'expose_errors'];
    for (const word of words) {
      const lines = switches.map((key) => `${key} = ${word}`).join('\n');
      const settings = `metrics_open = ${word}\naccess_log = ${word}\nenableModelcar = ${word}`;
      const conf = await compiled(
        `[MODEL SERVE]\n${settings}\n[algopkg.Echo]\nbackend = EchoBackend\n${lines}\n`,
      );
      expect(conf.settings, word).toMatchObject({ metricsOpen: isOn, accessLog: isOn });
      const [echo] = conf.deployments;
      expect(echo, word).toMatchObject({ stream: isOn, logOutput: isOn, exposeErrors: exposed });
    }
  });

  it('reads every key', async () => {
    const conf = await compiled(
      `[MODEL SERVE]
max_body = 1.5MiB
[algopkg.Echo.fast]
backend = EchoBackend
model = sub/labels.json, echo_v1.onnx,
replicas = 0
gpu_cost = 0.125
cpu_cost = 2
memory = 2GiB
user_config = {"threshold": 0.5}
route = /team/echo/
method = put, get
max_ongoing_requests = 4
max_queued_requests = 0
request_timeout_s = 2.5
startup_timeout_s = 30
min_ready_s = 0
graceful_shutdown_timeout_s = 1
retries = 0
concurrency = 4
max_batch_size = 8
batch_wait_timeout_s = 0.01
expose_errors = ON
api_keys = env:FAST_KEYS
api_rate = 50
run_as = svc:video
python = 3.9
environment = venv
wheels = /opt/wheels
stream = FALSE
env.OMP_NUM_THREADS = 2
env.GREETING = "a; b # c"
`,
    );
    expect(conf.settings).toEqual({
      port: 8000,
      ingressProcesses: 1,
      maxBodyBytes: 1_572_864,
      metricsOpen: false,
      accessLog: false,
    });
    expect(conf.deployments).toEqual([
      {
        name: 'Echo.fast',
        packageName: 'Echo',
        language: 'python',
        backend: 'EchoBackend',
        models: ['sub/labels.json', 'echo_v1.onnx'],
        replicas: 0,
        gpuMilli: 125,
        cpuMilli: 2000,
        memoryBytes: 2_147_483_648,
        userConfig: { threshold: 0.5 },
        route: 'team/echo',
        methods: ['GET', 'POST', 'PUT'],
        maxOngoingRequests: 4,
        maxQueuedRequests: 0,
        requestTimeoutMs: 2500,
        startupTimeoutMs: 30_000,
        minReadyMs: 0,
        gracefulShutdownTimeoutMs: 1000,
        retries: 0,
        concurrency: 4,
        maxBatchSize: 8,
        batchWaitTimeoutMs: 10,
        logOutput: true,
        exposeErrors: 'always',
        apiKeys: 'env:FAST_KEYS',
        apiRatePerS: 50,
        runAs: 'svc:video',
        python: '3.9',
        environment: 'venv',
        wheels: '/opt/wheels',
        stream: false,
        env: { OMP_NUM_THREADS: '2', GREETING: 'a; b # c' },
      },
    ]);
  });

  it.each([
    ['', 16],
    ['max_batch_size = 4', 16],
    ['max_batch_size = 16', 32],
    ['max_batch_size = 16\nconcurrency = 3', 64],
    ['max_batch_size = 16\nmax_ongoing_requests = 20', 20],
  ])('lets in two batches, unless it says how many requests: %j', async (keys, expected) => {
    const conf = await compiled(`[algopkg.Iris]\nbackend = IrisBackend\n${keys}\n`);
    expect(conf.deployments.map((each) => each.maxOngoingRequests)).toEqual([expected]);
  });

  it('takes its name as the route by default, with or without a section of the package', async () => {
    const conf = await compiled(
      '[algopkg.Iris.second]\nbackend = IrisBackend\n[algopkg.Iris]\nbackend = IrisBackend\n',
    );
    expect(conf.deployments.map(({ name, route, language }) => [name, route, language])).toEqual([
      ['Iris.second', 'Iris.second', 'javascript'],
      ['Iris', 'Iris', 'javascript'],
    ]);
  });

  it('names the one class that there is, where it is another', async () => {
    const files = { 'algopkg/Echo/backend.py': 'class Other: pass\n' };
    const [message] = await mistakesOf('[algopkg.Echo]\nbackend = EchoBackend\n', files);
    expect(message).toMatch(/found no "EchoBackend"; there is Other$/);
  });

  it('takes a commented-out section for none, and warns when nothing is left', async () => {
    expect(await warningsOf('[MODEL SERVE]\nport = 1\n# [algopkg.Echo]\n; backend = EchoBackend\n')).toEqual([
      'conf.ini: expected a section [algopkg.PACKAGE] for each package to serve, found none; nothing is served',
    ]);
  });
});

describe('user_config', () => {
  const valid: readonly [string, unknown][] = [
    ['{"a": "x;y # z"}', { a: 'x;y # z' }],
    ['{"a": 1} # a comment', { a: 1 }],
    ['{"a": "x;y"}   ; z', { a: 'x;y' }],
    [`'{"a": "x;y"}'`, { a: 'x;y' }],
    ['"a string; with all"', 'a string; with all'],
    ['{"path": "C:\\\\x\\u00e9"}', { path: 'C:\\xé' }],
    ['@config/limits.json', { limit: '#1;2' }],
    ['@config/limits.json # per site', { limit: '#1;2' }],
    ['"@config/limits.json"', '@config/limits.json'],
    ['""', ''],
    ['', null],
    ["''", null],
    ['null', null],
  ];
  it.each(valid)('reads %s', async (text, value) => {
    const conf = await compiled(`[algopkg.Echo]\nbackend = EchoBackend\nuser_config = ${text}\n`, {
      ...PACKAGES,
      'config/limits.json': '\u{feff}{\n "limit": "#1;2"\n}\n',
    });
    expect(conf.deployments[0]?.userConfig).toEqual(value);
  });

  const JSON_EXPECTED = 'expected JSON of at most 60000 bytes, or @ and the path of a JSON file';
  const invalid: readonly [string, string][] = [
    ['{"a": x}', 'found "{"a": x}"; at character 7 there should be a value, not "x}"'],
    [`{"a": 'x;y'}`, `found "{"a": 'x;y'}"; at character 7 there should be a value, not "'x;y'}"`],
    ['{"a": 1', 'found "{"a": 1"; at character 8 there should be "," or "}", not the end'],
    ['[1,]', 'found "[1,]"; at character 4 there should be a value, not "]"'],
    ['{a: 1}', 'found "{a: 1}"; at character 2 there should be a key in double quotes, not "a: 1}"'],
    ['@none.json', 'found "@none.json"; there is no none.json'],
    ['@bad.json', 'found no JSON in bad.json; at line 2, column 10 there should be ":", not "1}"'],
    ['@algopkg', 'found "@algopkg"; algopkg is no file'],
    ['@/dev/zero', 'found "@/dev/zero"; /dev/zero is no file'],
    ['@large.json', 'found "@large.json"; large.json has 1048578 bytes'],
    [
      `["${'x'.repeat(60_000)}"]`,
      `found "["${'x'.repeat(57)}…"; put what is larger into a file of the package, or into Model_ZOO, and name it here`,
    ],
  ];
  it('is measured as it travels: 1e20 is 21 digits then', async () => {
    const text = `[${'1e20,'.repeat(3000)}1]`;
    const conf = `[algopkg.Echo]\nbackend = EchoBackend\nuser_config = ${text}\n`;
    expect(await mistakesOf(conf)).toEqual([expect.stringContaining('; put what is larger into a file')]);
  });

  it.each(invalid)('refuses %s', async (text, message) => {
    const conf = `[algopkg.Echo]\nbackend = EchoBackend\nuser_config = ${text}\n`;
    const files = { ...PACKAGES, 'bad.json': '{\n "limit" 1}\n', 'large.json': `"${'x'.repeat(1024 ** 2)}"` };
    expect(await mistakesOf(conf, files)).toEqual([
      `conf.ini:3 [algopkg.Echo] user_config: ${JSON_EXPECTED}, ${message}`,
    ]);
  });
});

describe('the file itself', () => {
  it('says what to do where there is none', async () => {
    const folder = await makeProject({});
    const result = await compileConf(join(folder, 'conf.ini'));
    expect(result.ok ? [] : result.mistakes.map(renderFinding)).toEqual([
      `${folder}/conf.ini: expected a configuration file, found none; ` +
        'change to the folder that holds conf.ini, algopkg and Model_ZOO, or name the file with --conf',
    ]);
  });

  it('is named as it was given, whatever the folder', async () => {
    const result = await compileConf('no-such-folder/conf.ini');
    expect(result.ok ? [] : result.mistakes.map(({ file }) => file)).toEqual(['no-such-folder/conf.ini']);
  });

  it('may not be a folder, nor a link to itself', async () => {
    const folder = await makeProject({ 'conf.ini/x': '' });
    await symlink('loop.ini', join(folder, 'loop.ini'));
    const hintsOf = async (name: string): Promise<unknown> => {
      const result = await compileConf(join(folder, name));
      return result.ok ? [] : result.mistakes.map(({ found, hint }) => [found, hint]);
    };
    expect(await hintsOf('conf.ini')).toEqual([['none that can be read', 'a folder, not a file']]);
    expect(await hintsOf('loop.ini')).toEqual([
      ['none that can be read', 'a link that leads back to itself'],
    ]);
  });

  it.each([
    { how: 'with a byte order mark', mark: '\u{feff}' },
    { how: 'without one', mark: '' },
  ])('in UTF-16 $how is one mistake', async ({ mark }) => {
    const folder = await makeProject(PACKAGES);
    const path = join(folder, 'conf.ini');
    await writeFile(path, `${mark}${REFERENCE}`, 'utf16le');
    const result = await compileConf(path);
    expect(result.ok ? [] : result.mistakes.map(renderFinding)).toEqual([
      `${path}:1: expected text in UTF-8, found UTF-16; save the file as UTF-8`,
    ]);
  });

  it('in another encoding is a mistake where it says something, not in comments', async () => {
    const folder = await makeProject(PACKAGES);
    const path = join(folder, 'conf.ini');
    const head = '# caf\u00e9\n[algopkg.Echo] # \u00e9\nbackend = EchoBackend # \u00e9\n';
    await writeFile(path, Buffer.from(head, 'latin1'));
    expect((await compileConf(path)).ok).toBe(true);
    await writeFile(path, Buffer.from(`${head}user_config = {"a": "\u00e9"}\n`, 'latin1'));
    const result = await compileConf(path);
    expect(result.ok ? [] : result.mistakes.map(renderFinding)).toEqual([
      `${path}:4 [algopkg.Echo] user_config: expected text in UTF-8, found "{"a": "\u{fffd}"}"; save the file as UTF-8`,
    ]);
  });

  it.each(['', ' \n\t\n'])('that is empty (%j) does not remove what is served', async (text) => {
    expect(await mistakesOf(text)).toEqual([
      'conf.ini:1: expected a configuration, found an empty file; to serve nothing on purpose, leave [MODEL SERVE] in it',
    ]);
  });

  it('has no warning that nothing is served beside what would be', async () => {
    const result = await compileText('[algopkg.Echo\nbackend = EchoBackend\n');
    expect(result).toMatchObject({ ok: false, warnings: [] });
  });

  it('is not changed by reading it', async () => {
    const folder = await makeProject({ ...PACKAGES, 'conf.ini': '[x]\n' });
    await compileConf(join(folder, 'conf.ini'));
    expect(await readFile(join(folder, 'conf.ini'), 'utf8')).toBe('[x]\n');
  });

  it('gives every mistake at once, by line', async () => {
    const result = await compileText(
      '[MODEL SERVE]\nport = x\n[algopkg.Echo]\nreplica = 2\ngpu_cost = -1\nmodel = none\n[algopkg.Iris]\nbackend = X\nroute = Echo\n',
    );
    expect(result.ok ? [] : result.mistakes.map(({ line, key }) => `${line} ${key}`)).toEqual([
      '2 port',
      '3 backend',
      '4 replica',
      '5 gpu_cost',
      '6 model',
      '8 backend',
      '9 route',
    ]);
  });
});
