import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { describe, expect, it } from 'vitest';
import { runCommand } from '../../src/lib/process/command.ts';

const ROOT = join(import.meta.dirname, '../..');
const text = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

// The YAML reader is Knip's: the only one among the packages of the project.
const ofKnip = createRequire(createRequire(import.meta.url).resolve('knip'));
const { parse } = ofKnip('yaml') as { parse(text: string, options: { readonly merge: boolean }): unknown };

interface Service {
  readonly image?: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly shm_size?: string;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: unknown;
  readonly deploy?: unknown;
}
interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes?: Readonly<Record<string, null>>;
}
const compose = (name: string): Compose => parse(text(`docker/${name}`), { merge: true }) as Compose;

/** The flags of each command that stands in docker/. */
const FLAGS: Readonly<Record<string, readonly string[]>> = {
  head: [
    'port',
    'conf',
    'host',
    'dashboard-host',
    'dashboard-port',
    'http-port',
    'redis',
    'num-cpus',
    'num-gpus',
    'state-dir',
    'tls',
    'tls-name',
  ],
  worker: [
    'address',
    'redis',
    'host',
    'http-port',
    'num-cpus',
    'num-gpus',
    'state-dir',
    'token',
    'token-file',
    'tls',
    'tls-name',
  ],
  controller: ['conf', 'dry-run', 'json', 'no-wait', 'timeout', 'address', 'token', 'token-file'],
  status: ['json', 'watch', 'address', 'token', 'token-file'],
};
const flagsIn = (words: readonly string[]): readonly string[] =>
  words.filter((word) => word.startsWith('--')).map((word) => word.slice(2).replace(/=.*/s, ''));

describe.each(['compose.yml', 'compose.gpu.yml', 'compose.tls.yml'])('%s', (name) => {
  it('is what the Compose Specification allows', () => {
    const schema = JSON.parse(text('test/docker/compose-spec.json'), (key, value) =>
      // Names from before `$id`, which Ajv refuses and nothing refers to; and a draft of which it needs no rule.
      (key === 'id' || key === '$schema') && typeof value === 'string' ? undefined : value,
    );
    const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
    const validate = ajv.compile(schema);
    expect(validate(compose(name)) || ajv.errorsText(validate.errors)).toBe(true);
    // That the check can fail at all: a key that no version of the specification has.
    expect(validate({ services: { head: { image: 'modelserve', shm: '8G' } } })).toBe(false);
  });
});

describe('compose.yml', () => {
  const { services, volumes } = compose('compose.yml');
  const nodes = Object.entries(services).filter(([, { image }]) => image === 'modelserve');

  it('has Redis, a head and two workers', () => {
    expect(Object.keys(services)).toEqual(['redis', 'head', 'worker-1', 'worker-2']);
    expect(nodes.map(([, { command }]) => command?.[0])).toEqual(['head', 'worker', 'worker']);
  });

  it.each(nodes)('starts %s with flags that its command has', (_name, { command = [] }) => {
    const [name = '', ...words] = command;
    expect(FLAGS[name]).toEqual(expect.arrayContaining([...flagsIn(words)]));
  });

  it.each(nodes)(
    'gives %s shared memory, a time zone, a health check and a state directory of its own',
    (name, node) => {
      expect(node.shm_size).toBe(name === 'head' ? '8G' : '4G');
      expect(node.environment).toEqual({ TZ: 'Asia/Shanghai', MODELSERVE_STATE_DIR: `/state/${name}` });
      expect(node.healthcheck).toBeDefined();
    },
  );

  it('has workers read the token that the head makes, once it is there', () => {
    const headState = services['head']?.environment?.['MODELSERVE_STATE_DIR'];
    for (const name of ['worker-1', 'worker-2']) {
      expect(services[name]?.command).toContain(`--token-file=${headState}/token`);
      expect(services[name]?.depends_on?.['head']?.condition).toBe('service_healthy');
    }
  });

  it('declares the volumes it mounts, at the same place in every node', () => {
    for (const [, service] of nodes) expect(service.volumes).toEqual(['..:/project:ro', 'state:/state']);
    expect(Object.keys(volumes ?? {})).toEqual(['redis', 'state']);
  });
});

it('compose.tls.yml starts each node of compose.yml as that does, with TLS', () => {
  const plain = compose('compose.yml').services;
  const secured = compose('compose.tls.yml').services;
  expect(Object.keys(secured)).toEqual(Object.keys(plain).filter((name) => name !== 'redis'));
  for (const [name, service] of Object.entries(secured))
    expect(service).toEqual({ command: [...(plain[name]?.command ?? []), '--tls=all'] });
});

it('compose.gpu.yml adds to a service that compose.yml has', () => {
  const services = Object.keys(compose('compose.yml').services);
  expect(services).toEqual(expect.arrayContaining(Object.keys(compose('compose.gpu.yml').services)));
});

describe('the Dockerfile', () => {
  const dockerfile = text('docker/Dockerfile');
  const allowed = text('docker/Dockerfile.dockerignore').split('\n');
  const copied = [...dockerfile.matchAll(/^COPY (.+) \S+$/gm)].flatMap(([, sources = '']) =>
    sources.split(' '),
  );

  it.each(copied)('copies %s, which is there and in the build context', (source) => {
    expect(existsSync(join(ROOT, source))).toBe(true);
    expect(allowed).toContain(`!${source}`);
  });

  it('starts a head with flags that it has', () => {
    const words = JSON.parse(/^CMD (\[.+\])$/m.exec(dockerfile)?.[1] ?? '[]') as readonly string[];
    expect(words[0]).toBe('head');
    expect(FLAGS['head']).toEqual(expect.arrayContaining([...flagsIn(words)]));
  });
});

describe('docker/README.md', () => {
  const commands = text('docker/README.md')
    .replaceAll('\\\n', ' ')
    .split('\n')
    .flatMap(
      (line) =>
        /\bmodelserve\s+(head|worker|controller|status)\b(.*)$/.exec(
          line.replace('docker exec modelserve_head', ''),
        ) ?? [],
    )
    .filter((_part, index) => index % 3 !== 0);

  it('uses flags that the commands have', () => {
    expect(commands).toHaveLength(10);
    for (let at = 0; at < commands.length; at += 2) {
      const flags = flagsIn((commands[at + 1] ?? '').trim().split(/\s+/));
      expect(FLAGS[commands[at] ?? '']).toEqual(expect.arrayContaining([...flags]));
    }
  });
});

describe('healthcheck.mjs', () => {
  const check = async (port: number) => {
    const script = join(ROOT, 'docker/healthcheck.mjs');
    return await runCommand(process.execPath, [script, String(port)], { timeoutMs: 20_000, env: {} });
  };

  it('ends well only while the ingress answers, whichever of the addresses it listens on', async () => {
    let status = 200;
    const ingress = createServer((request, response) => {
      response.writeHead(request.url === '/-/healthz' ? status : 404).end();
    });
    await new Promise<void>((resolve) => ingress.listen(0, '127.0.0.1', resolve));
    const { port } = ingress.address() as AddressInfo;
    try {
      expect(await check(port)).toMatchObject({ exitCode: 0 });
      status = 503;
      expect(await check(port)).toMatchObject({
        exitCode: 1,
        output: expect.stringContaining('answered 503'),
      });
    } finally {
      ingress.closeAllConnections();
      await new Promise((resolve) => ingress.close(resolve));
    }
    expect(await check(port)).toMatchObject({ exitCode: 1, output: expect.stringContaining('ECONNREFUSED') });
  });
});
