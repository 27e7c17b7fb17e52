import fc from 'fast-check';
import type { DeploymentSpec, PinnedSpec } from '../../src/cluster/spec/types.ts';
import { pinSpec } from '../../src/config/pin.ts';
import { SPEC } from '../support/spec.ts';

export const PINS: Pick<PinnedSpec, 'package' | 'modelPins' | 'modelRoot' | 'projectDir'> = {
  package: { hash: 'aaaaaaaaaaaaaaaa', snapshotDir: '/state/snapshots/aaaaaaaaaaaaaaaa' },
  modelPins: [{ name: 'a.onnx', sizeBytes: 1, sha256: '1111111111111111' }],
  modelRoot: '/project/Model_ZOO',
  projectDir: '/project',
};

export function pinned(changes: Partial<DeploymentSpec> = {}, pins: Partial<typeof PINS> = {}): PinnedSpec {
  return pinSpec({ ...SPEC, ...changes }, { ...PINS, ...pins });
}

const milli = (max: number) => fc.integer({ min: 0, max });
const json = fc
  .jsonValue({ maxDepth: 4 })
  // A pair of quotes with nothing in it is a key that is not given.
  .filter((value) => value !== '' && !JSON.stringify(value).includes('${'))
  // JSON has no -0: it is read back as 0.
  .map((value) => JSON.parse(JSON.stringify(value)) as DeploymentSpec['userConfig']);

/** Any spec that a conf.ini with the fixture's packages and models can say. */
export const anySpec: fc.Arbitrary<DeploymentSpec> = fc.record({
  name: fc.constantFrom('Echo', 'Echo.fast', 'Echo.2-nd'),
  packageName: fc.constant('Echo'),
  backend: fc.constant('EchoBackend'),
  language: fc.constant('python' as const),
  route: fc.stringMatching(/^x[\w~-]{0,8}(\/[\w~-]{1,8}){0,2}$/),
  methods: fc
    .subarray(['GET', 'PUT', 'PATCH', 'DELETE'])
    .map((some) => ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].filter((m) => m === 'POST' || some.includes(m))),
  replicas: fc.integer({ min: 0, max: 10_000 }),
  gpuMilli: fc.oneof(
    milli(1000),
    fc.integer({ min: 1, max: 100 }).map((whole) => whole * 1000),
  ),
  cpuMilli: milli(1_000_000),
  memoryBytes: fc.oneof(
    fc.nat(),
    fc.integer({ min: 0, max: 1024 }).map((gib) => gib * 1024 ** 3),
  ),
  models: fc.subarray(['echo_v1.onnx', 'sub/labels.json']),
  userConfig: json,
  maxOngoingRequests: fc.integer({ min: 1, max: 10_000 }),
  maxQueuedRequests: fc.integer({ min: 0, max: 1_000_000 }),
  requestTimeoutMs: fc.integer({ min: 1, max: 86_400_000 }),
  startupTimeoutMs: fc.integer({ min: 1, max: 86_400_000 }),
  minReadyMs: milli(86_400_000),
  gracefulShutdownTimeoutMs: milli(86_400_000),
  retries: fc.integer({ min: 0, max: 10 }),
  concurrency: fc.integer({ min: 1, max: 1024 }),
  maxBatchSize: fc.integer({ min: 1, max: 4096 }),
  batchWaitTimeoutMs: fc.integer({ min: 0, max: 60_000 }),
  exposeErrors: fc.constantFrom('always' as const, 'never' as const, 'loopback' as const),
  apiKeys: fc.constantFrom(null, 'env:KEYS', 'file:/etc/keys'),
  apiRatePerS: fc.integer({ min: 0, max: 1000 }),
  environment: fc.constantFrom(null, 'venv'),
  wheels: fc.constantFrom(null, '/opt/my wheels'),
  logOutput: fc.boolean(),
  stream: fc.constant(false),
  runAs: fc.constantFrom(null, 'nobody', 'svc:video', '1000'),
  python: fc.constantFrom(null, '3', '3.9', '3.12.1', '/opt/my python/bin/python3'),
  env: fc.dictionary(
    fc.stringMatching(/^[A-Z_][A-Z0-9_]{0,6}$/),
    fc.string({ unit: 'grapheme', maxLength: 12 }).filter((text) => !/[\r\n\0]|\$\{/.test(text)),
  ),
});
