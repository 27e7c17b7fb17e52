import { describe, expect, it } from 'vitest';
import { shortages } from '../../../src/cluster/placement/room.ts';
import type { PinnedSpec } from '../../../src/cluster/spec/types.ts';

function spec(name: string, changes: Partial<PinnedSpec>): PinnedSpec {
  return { name, replicas: 1, cpuMilli: 100, memoryBytes: 0, gpuMilli: 0, ...changes } as PinnedSpec;
}

const gpu = { index: 0, uuid: 'g0', name: 'A', memoryBytes: 0, virtual: true, usable: true, reason: null };
const node = { nodeId: 'n1', capacity: { cpuMilli: 2000, memoryBytes: 8e9, gpus: [gpu] }, closed: null };

describe('shortages', () => {
  it('finds none where all fit together', () => {
    expect(
      shortages([spec('A', { gpuMilli: 500, replicas: 2 }), spec('B', { replicas: 3 })], [node]),
    ).toEqual([]);
  });

  it('names what is left over, with the reason of each node and GPU', () => {
    const [found] = shortages([spec('A', { gpuMilli: 340, replicas: 4 })], [node]);
    expect(found).toMatchObject({ deployment: 'A', wanted: 4, placed: 2 });
    expect(found?.reasons.join()).toContain('0.32 free, 0.34 needed');
  });

  it('takes the deployments together, not each alone', () => {
    const found = shortages([spec('A', { gpuMilli: 600 }), spec('B', { gpuMilli: 600 })], [node]);
    expect(found.map((one) => one.deployment)).toEqual(['B']);
  });

  it('counts models that lie in memory with what their section reserves', () => {
    const pin = (sizeBytes: number) => ({ name: 'm', sizeBytes, sha256: null, listing: 'l' });
    const pins = { memoryBytes: 1e9, modelPins: [pin(4e9), pin(2e9)] };
    expect(shortages([spec('A', { ...pins, stream: true, replicas: 8 })], [node])).toEqual([]);
    const found = shortages([spec('A', { ...pins, stream: { expireMs: 1_000 }, replicas: 2 })], [node]);
    expect(found).toMatchObject([{ placed: 1, reasons: [expect.stringContaining('memory free')] }]);
  });

  it('says so where there is no node at all', () => {
    expect(shortages([spec('A', {})], [])[0]?.reasons).toEqual(['no node is in the cluster']);
  });
});
