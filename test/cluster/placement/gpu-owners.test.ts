import { describe, expect, it } from 'vitest';
import { type GpuHost, gpuOwners, ownGpus } from '../../../src/cluster/placement/gpu-owners.ts';
import { reasonsText } from '../../../src/cluster/placement/reasons.ts';
import { gpu, slice } from '../builders.ts';

function host(nodeId: string, over: Partial<GpuHost> = {}): GpuHost {
  return { nodeId, alive: true, assigned: [], capacity: { gpus: [gpu('shared', 0)] }, ...over };
}

const inUse = [{ slices: [slice('shared', 0, 500)] }];

describe('gpuOwners', () => {
  it.each([
    { name: 'the first by name', hosts: [host('w2'), host('w1')], owner: 'w1' },
    { name: 'who has replicas on it', hosts: [host('w2', { assigned: inUse }), host('w1')], owner: 'w2' },
    {
      name: 'who lives',
      hosts: [host('w2'), host('w1', { assigned: inUse, alive: false })],
      owner: 'w2',
    },
  ])('gives a card that two nodes report to one: $name', ({ hosts, owner }) => {
    const owners = gpuOwners(hosts);
    for (const one of hosts) {
      const reason = one.nodeId === owner ? null : `it is the same card as one of node ${owner}`;
      expect(ownGpus(one, owners)).toEqual([gpu('shared', 0, { usable: reason === null, reason })]);
    }
  });
});

describe('reasonsText', () => {
  it('shows a few of many', () => {
    expect(reasonsText(['a', 'b'])).toBe('a; b');
    expect(reasonsText(['a', 'b', 'c', 'd', 'e', 'f'])).toBe('a; b; c; d; and 2 more reasons');
  });
});
