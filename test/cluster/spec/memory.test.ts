import { expect, it } from 'vitest';
import { reservedMemoryBytes } from '../../../src/cluster/spec/memory.ts';
import { GIB, pinnedSpec } from '../builders.ts';

const listing = 'a'.repeat(64);
const modelPins = [
  { name: 'chat', sizeBytes: 3 * GIB, sha256: null, listing },
  { name: 'labels.json', sizeBytes: GIB, sha256: 'b'.repeat(64) },
];

it.each([
  [false, GIB],
  [true, GIB],
  [{ expireMs: 120_000 }, 4 * GIB],
])('a replica takes the memory of models that lie there: stream %j', (stream, expected) => {
  expect(reservedMemoryBytes(pinnedSpec({ stream, memoryBytes: GIB, modelPins }))).toBe(expected);
});
