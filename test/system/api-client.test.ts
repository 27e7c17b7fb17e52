import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createClient } from '@hey-api/openapi-ts';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { clusterKeys } from '../../src/config/token.ts';
import { TestHead } from './support/cluster.ts';
import { echoSource, Project } from './support/project.ts';

const ROOT = join(import.meta.dirname, '../..');
const STRICT = [
  '--strict',
  '--noEmit',
  '--allowImportingTsExtensions',
  '--skipLibCheck',
  '--pretty',
  'false',
];
const TARGET = ['--target', 'es2023', '--module', 'esnext', '--moduleResolution', 'bundler'];

interface Operation {
  readonly responses: {
    readonly '200': { readonly content: Readonly<Record<string, { readonly schema: object }>> };
  };
}
interface Document {
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}
interface Called {
  readonly operation: string;
  readonly status: number;
  readonly mistakes: string;
}

const project = new Project();
const folder = mkdtempSync(join(tmpdir(), 'modelserve-client-'));
let head: TestHead;
let other: TestHead;
let document: Document;

beforeAll(async () => {
  project.package('Echo', echoSource());
  project.write('Model_ZOO/words.txt', 'one two');
  const section = { backend: 'Backend', route: 'echo', min_ready_s: 0, model: 'words.txt' };
  project.sections({ Echo: section });
  head = await TestHead.start({ conf: project.conf, args: ['--num-gpus', '1'] });
  other = await TestHead.start({ conf: project.conf, args: ['--num-gpus', '0'] });
  const answer = await fetch(`${head.dashboard}api/v1/openapi.json`);
  document = (await answer.json()) as Document;
});

afterAll(async () => {
  await head?.dispose();
  await other?.dispose();
  project.remove();
  rmSync(folder, { recursive: true, force: true });
});

it('is described by a document that a validator accepts', async () => {
  const { valid, errors } = await new Validator().validate(
    structuredClone(document) as object as Record<string, unknown>,
  );
  expect(errors).toBeUndefined();
  expect(valid).toBe(true);
});

it('is called, every operation of it, by a client that is generated from the document', async () => {
  const everyCall = await generatedCalls();
  const { calls, fetch: recorded } = recorder(document);
  const { token, conf } = head;
  await everyCall({ ...keyTo(head), token, conf, other: keyTo(other), fetch: recorded });
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(operations.length).toBeGreaterThan(30);
  expect([...new Set(calls.map(({ operation }) => operation))].sort()).toEqual(operations.sort());
  expect(calls.filter(({ status, mistakes }) => status !== 200 || mistakes !== '')).toEqual([]);
  await head.ended();
  await other.ended();
});

interface Access {
  readonly url: string;
  readonly apiKey: string;
}

function keyTo({ dashboard, token }: TestHead): Access {
  return { url: dashboard.replace(/\/$/, ''), apiKey: clusterKeys(token).apiKey };
}

type EveryCall = (
  head: Access & {
    readonly token: string;
    readonly conf: string;
    readonly other: Access;
    readonly fetch: typeof globalThis.fetch;
  },
) => Promise<readonly string[]>;

/** What calls all operations, checked against the generated client's types. */
async function generatedCalls(): Promise<EveryCall> {
  const program = join(folder, 'every-call.ts');
  cpSync(join(ROOT, 'test/fixtures/api-client/every-call.ts'), program);
  await createClient({
    input: structuredClone(document) as never,
    output: { path: join(folder, 'client') },
    logs: { level: 'silent', file: false },
  });
  const types = ['--typeRoots', join(ROOT, 'node_modules/@types'), '--types', 'node'];
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const checked = spawnSync(process.execPath, [tsc, ...STRICT, ...TARGET, ...types, program], {
    ...{ cwd: folder, encoding: 'utf8' as const },
  });
  expect(checked.stdout).toBe('');
  const bundle = join(folder, 'every-call.mjs');
  await build({ entryPoints: [program], outfile: bundle, bundle: true, platform: 'node', format: 'esm' });
  return ((await import(pathToFileURL(bundle).href)) as { readonly everyCall: EveryCall }).everyCall;
}

/** A fetch that notes which operation each call was, and what of its answer is not as the document says. */
function recorder({ paths, components }: Document) {
  const calls: Called[] = [];
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema(closed({ components }) as object, 'document');
  const known = Object.entries(paths).map(([path, methods]) => {
    const pattern = path.replace(/\./g, '\\.').replace(/\{\w+\}/g, '[^/]+');
    return { path, methods, pattern: new RegExp(`^${pattern}$`) };
  });
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const request = new Request(input, init);
    const { pathname } = new URL(request.url);
    const found = known.find(({ pattern }) => pattern.test(pathname));
    const method = request.method.toLowerCase();
    const schema = found?.methods[method]?.responses['200'].content['application/json']?.schema;
    const answer = await globalThis.fetch(request);
    const isValid =
      schema === undefined || ajv.validate(referring(closed(schema)), await answer.clone().json());
    const mistakes = isValid ? '' : ajv.errorsText();
    calls.push({
      operation: `${request.method} ${found?.path ?? pathname}`,
      status: answer.status,
      mistakes,
    });
    return answer;
  };
  return { calls, fetch };
}

/** A schema in which what it does not tell of is a mistake. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== 'object' || schema === null) return schema;
  const inner = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]));
  const isOpen = 'properties' in inner && !('additionalProperties' in inner);
  return isOpen ? { ...inner, additionalProperties: false } : inner;
}

function referring(schema: unknown): object {
  return JSON.parse(JSON.stringify(schema).replaceAll('"#/components/', '"document#/components/')) as object;
}
