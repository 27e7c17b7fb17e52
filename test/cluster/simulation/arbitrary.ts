import fc from 'fast-check';
import type { PinnedSpec } from '../../../src/cluster/spec/types.ts';
import { GIB, pinnedSpec } from '../builders.ts';

const NAMES = ['Echo', 'Faces', 'Speech'] as const;

/** A section of conf.ini, with how its code behaves. */
export const arbitrarySpec = fc.record({
  name: fc.constantFrom(...NAMES),
  replicas: fc.integer({ min: 0, max: 3 }),
  gpuMilli: fc.constantFrom(0, 340, 500, 1000, 2000),
  memoryBytes: fc.constantFrom(0, 0, 6 * GIB, 16 * GIB),
  cpuMilli: fc.constantFrom(100, 1000),
  code: fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom('works:1', 'works:2', 'works:3') },
    { weight: 2, arbitrary: fc.constantFrom('raises:1', 'falls:1', 'unprepared:1') },
  ),
  config: fc.constantFrom('applied:1', 'applied:2', 'unsupported:1', 'failed:1'),
});

/** Resources are part of what a replace hash stands for. */
export function specFrom(
  body: typeof arbitrarySpec extends fc.Arbitrary<infer Body> ? Body : never,
): PinnedSpec {
  const { code, config, ...resources } = body;
  const { gpuMilli, cpuMilli, memoryBytes } = resources;
  const replace = [code, gpuMilli, cpuMilli, memoryBytes].join(':');
  return pinnedSpec({ ...resources, hashes: { replace, reconfigure: config } });
}

/** A conf.ini: deployments that want GPUs and memory, work or fail. */
export const arbitraryConf = fc
  .uniqueArray(arbitrarySpec, { selector: (body) => body.name, maxLength: NAMES.length })
  .map((bodies) => bodies.map(specFrom));
