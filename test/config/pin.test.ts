import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ClusterSettings, DeploymentSpec, Effect } from '../../src/cluster/spec/types.ts';
import { completeSpec, differences, settingsDifferences } from '../../src/config/pin.ts';
import { hashOf } from '../../src/lib/hash.ts';
import { SPEC } from '../support/spec.ts';
import { anySpec, PINS, pinned } from './specs.ts';

const EFFECTS: readonly Effect[] = ['routing', 'scale', 'reconfigure', 'replace'];

function changedHashes(changes: Partial<DeploymentSpec>, pins: Partial<typeof PINS> = {}): readonly Effect[] {
  const [before, after] = [pinned(), pinned(changes, pins)];
  return EFFECTS.filter((effect) => before.hashes[effect] !== after.hashes[effect]);
}

it('tells how [MODEL SERVE] changes, in the words of a conf.ini', () => {
  const before = {
    port: 8000,
    ingressProcesses: 1,
    maxBodyBytes: 64 * 1024 * 1024,
    metricsOpen: false,
    accessLog: false,
  };
  expect(settingsDifferences(before, { ...before })).toEqual([]);
  expect(
    settingsDifferences(before, {
      port: 9000,
      ingressProcesses: 2,
      maxBodyBytes: 1024 ** 3,
      metricsOpen: false,
      accessLog: false,
    }),
  ).toEqual([
    { key: 'port', from: '8000', to: '9000' },
    { key: 'ingress_processes', from: '1', to: '2' },
    { key: 'max_body', from: '64MiB', to: '1GiB' },
  ]);
});

it('takes what an older version did not record of [MODEL SERVE] for its default', () => {
  const recorded = { port: 8000, maxBodyBytes: 1024 } as ClusterSettings;
  const now = { port: 8000, ingressProcesses: 1, maxBodyBytes: 1024, metricsOpen: false, accessLog: false };
  expect(settingsDifferences(recorded, now)).toEqual([]);
  expect(settingsDifferences(recorded, { ...now, ingressProcesses: 3 })).toEqual([
    { key: 'ingress_processes', from: '1', to: '3' },
  ]);
});

describe('a spec that an older version recorded', () => {
  const { maxBatchSize: _, batchWaitTimeoutMs: __, ...recorded } = pinned();

  it('has the defaults of keys that came since, and keeps what it has', () => {
    const completed = completeSpec({ ...recorded, concurrency: 7 } as unknown as DeploymentSpec);
    expect(completed).toMatchObject({ maxBatchSize: 1, batchWaitTimeoutMs: 0, concurrency: 7 });
  });

  it('does not differ from the same section read now', () => {
    expect(differences(recorded as unknown as ReturnType<typeof pinned>, pinned())).toEqual([]);
  });

  it('has the hashes of one that says nothing of them', () => {
    expect(pinned({ replicas: 1 }).hashes.scale).toBe(hashOf({}));
    expect(pinned({ replicas: 2 }).hashes.scale).toBe(hashOf({ replicas: 2 }));
  });
});

describe('a change of one thing', () => {
  const table: readonly [Partial<DeploymentSpec>, key: string, from: string, to: string, effect: Effect][] = [
    [{ route: 'other' }, 'route', 'echo', 'other', 'routing'],
    [{ methods: ['POST'] }, 'method', 'GET, POST', 'POST', 'routing'],
    [{ maxOngoingRequests: 2 }, 'max_ongoing_requests', '16', '2', 'routing'],
    [{ maxQueuedRequests: 0 }, 'max_queued_requests', '100', '0', 'routing'],
    [{ requestTimeoutMs: 1500 }, 'request_timeout_s', '60', '1.5', 'routing'],
    [{ startupTimeoutMs: 1 }, 'startup_timeout_s', '600', '0.001', 'routing'],
    [{ minReadyMs: 0 }, 'min_ready_s', '5', '0', 'routing'],
    [{ gracefulShutdownTimeoutMs: 0 }, 'graceful_shutdown_timeout_s', '60', '0', 'routing'],
    [{ retries: 0 }, 'retries', '1', '0', 'routing'],
    [{ exposeErrors: 'never' }, 'expose_errors', 'auto', 'off', 'routing'],
    [{ logOutput: false }, 'log_output', 'on', 'off', 'replace'],
    [{ apiKeys: 'env:KEYS' }, 'api_keys', '', 'env:KEYS', 'routing'],
    [{ apiRatePerS: 5 }, 'api_rate', '0', '5', 'routing'],
    [{ replicas: 4 }, 'replicas', '1', '4', 'scale'],
    [{ userConfig: { a: 1 } }, 'user_config', '', '{"a":1}', 'reconfigure'],
    [{ backend: 'Other' }, 'backend', 'EchoBackend', 'Other', 'replace'],
    [{ models: [] }, 'model', 'a.onnx', '', 'replace'],
    [{ gpuMilli: 250 }, 'gpu_cost', '0', '0.25', 'replace'],
    [{ cpuMilli: 1000 }, 'cpu_cost', '0.1', '1', 'replace'],
    [{ memoryBytes: 2_147_483_648 }, 'memory', '0', '2GiB', 'replace'],
    [{ concurrency: 2 }, 'concurrency', '1', '2', 'replace'],
    [{ maxBatchSize: 16 }, 'max_batch_size', '1', '16', 'replace'],
    [{ batchWaitTimeoutMs: 10 }, 'batch_wait_timeout_s', '0', '0.01', 'replace'],
    [{ python: '3.9' }, 'python', '', '3.9', 'replace'],
    [{ environment: 'conda:a' }, 'environment', '', 'conda:a', 'replace'],
    [{ wheels: 'wheels' }, 'wheels', '', 'wheels', 'replace'],
    [{ runAs: 'svc' }, 'run_as', '', 'svc', 'replace'],
    [{ stream: { expireMs: 120_000 } }, 'stream', 'off', 'memory:120', 'replace'],
    [{ env: { A: '' } }, 'env.A', 'not set', '""', 'replace'],
  ];
  it.each(table)('%o', (changes, ...[key, from, to, effect]) => {
    expect(differences(pinned(), pinned(changes))).toEqual([{ key, from, to, effect }]);
    expect(changedHashes(changes)).toEqual([effect]);
  });

  it('covers every field that a section can set', () => {
    const covered = table.map(([changes]) => Object.keys(changes)[0] ?? '');
    const given = Object.keys(SPEC).filter((field) => !['name', 'packageName', 'language'].includes(field));
    expect(covered.sort()).toEqual(given.sort());
  });

  it('names an image by its digest, and no difference where only that differs', () => {
    const pin = (sha256: string, image: string) => ({
      modelPins: [
        { name: 'm', sizeBytes: 1, sha256: sha256.repeat(64), image: `sha256:${image.repeat(64)}` },
      ],
    });
    const pair = { key: 'model content', from: 'm sha256:aaaaaaaaaaaa', to: 'm sha256:bbbbbbbbbbbb' };
    const from = pinned({}, pin('1', 'a'));
    expect(differences(from, pinned({}, pin('2', 'b')))).toEqual([{ ...pair, effect: 'replace' }]);
    const packedOtherwise = pinned({}, pin('1', 'b'));
    expect([differences(from, packedOtherwise), packedOtherwise.hashes]).toEqual([[], from.hashes]);
  });

  it('finds other contents under the same names', () => {
    const pins = {
      package: { ...PINS.package, hash: 'bbbbbbbbbbbbbbbb' },
      modelPins: [{ name: 'a.onnx', sizeBytes: 1, sha256: '2222222222222222' }],
    };
    expect(changedHashes({}, pins)).toEqual(['replace']);
    expect(differences(pinned(), pinned({}, pins))).toEqual([
      { key: 'package content', from: 'aaaaaaaaaaaa', to: 'bbbbbbbbbbbb', effect: 'replace' },
      { key: 'model content', from: 'a.onnx 111111111111', to: 'a.onnx 222222222222', effect: 'replace' },
    ]);
  });

  it('minds what a server listed, and not whether it has come', () => {
    const name = 'a.onnx';
    const listing = 'cccccccccccccccc';
    const announced = { modelPins: [{ name, sizeBytes: 1, sha256: null, listing }] };
    const fetched = { modelPins: [{ name, sizeBytes: 1, sha256: '1111111111111111', listing }] };
    expect(changedHashes({}, announced)).toEqual(['replace']);
    expect(pinned({}, announced).hashes).toEqual(pinned({}, fetched).hashes);
    expect(differences(pinned({}, announced), pinned({}, fetched))).toEqual([]);
  });

  it('finds the same project in another folder', () => {
    const pins = { projectDir: '/copy', modelRoot: '/copy/Model_ZOO' };
    expect(changedHashes({}, pins)).toEqual(['replace']);
    expect(differences(pinned(), pinned({}, pins)).map(({ key, to }) => [key, to])).toEqual([
      ['project folder', '/copy with models in /copy/Model_ZOO'],
    ]);
  });

  it('does not mind where the snapshot lies, nor the order of keys', () => {
    const elsewhere = { package: { ...PINS.package, snapshotDir: '/elsewhere' } };
    expect(changedHashes({}, elsewhere)).toEqual([]);
    const [left, right] = [
      { a: 1, b: { c: 2, d: 3 } },
      { b: { d: 3, c: 2 }, a: 1 },
    ];
    expect(pinned({ userConfig: left }).hashes).toEqual(pinned({ userConfig: right }).hashes);
    expect(differences(pinned({ userConfig: left }), pinned({ userConfig: right }))).toEqual([]);
  });
});

it('has differences of an effect exactly where its hash differs', () => {
  fc.assert(
    fc.property(anySpec, anySpec, (left, right) => {
      const [from, to] = [pinned(left), pinned(right)];
      const effects = new Set(differences(from, to).map(({ effect }) => effect));
      for (const effect of EFFECTS) {
        expect([effect, effects.has(effect)]).toEqual([effect, from.hashes[effect] !== to.hashes[effect]]);
      }
    }),
    { numRuns: 200 },
  );
});
