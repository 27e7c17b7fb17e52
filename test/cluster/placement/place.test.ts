import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { place } from '../../../src/cluster/placement/place.ts';
import type { PlaceableNode, PlacementRequest } from '../../../src/cluster/placement/types.ts';
import { claim, GIB, gpu, placeableNode, request, slice } from '../builders.ts';

function reasonsFor(over: Partial<PlacementRequest>, ...nodes: PlaceableNode[]): readonly string[] {
  return place([request('r', over)], nodes).unplaced[0]?.reasons ?? ['placed'];
}

describe('place', () => {
  it.each([
    { gpuMilli: 340, count: 3, fits: 2 },
    { gpuMilli: 100, count: 11, fits: 10 },
    { gpuMilli: 500, count: 3, fits: 2 },
    { gpuMilli: 1000, count: 2, fits: 1 },
  ])('fits $fits of $count × $gpuMilli on one GPU', ({ gpuMilli, count, fits }) => {
    const requests = Array.from({ length: count }, (_, index) => request(`r${index}`, { gpuMilli }));
    const result = place(requests, [placeableNode('w1', { gpus: 1 })]);
    expect(result.placements).toHaveLength(fits);
    expect(result.unplaced).toHaveLength(count - fits);
  });

  it('takes the fullest GPU that still holds a share', () => {
    const node = placeableNode('w1', {
      gpus: 3,
      claims: [claim('a', { slices: [slice('w1', 1, 600)] }), claim('b', { slices: [slice('w1', 2, 900)] })],
    });
    expect(place([request('r', { gpuMilli: 400 })], [node]).placements[0]?.slices).toEqual([
      slice('w1', 1, 400),
    ]);
  });

  it('gives whole GPUs together on one node, entirely free ones only', () => {
    const partly = placeableNode('w1', { gpus: 2, claims: [claim('a', { slices: [slice('w1', 0, 1)] })] });
    const result = place([request('r', { gpuMilli: 2000 })], [partly, placeableNode('w2', { gpus: 2 })]);
    expect(result.placements).toEqual([
      { replicaId: 'r', nodeId: 'w2', slices: [slice('w2', 0, 1000), slice('w2', 1, 1000)] },
    ]);
  });

  it('places larger requests first, so that small ones do not break up a GPU', () => {
    const requests = [request('small', { gpuMilli: 500 }), request('large', { gpuMilli: 1000 })];
    const result = place(requests, [placeableNode('w1', { gpus: 1 })]);
    expect(result.placements.map((placement) => placement.replicaId)).toEqual(['large']);
  });

  it('breaks ties by fewest replicas of the deployment, then fewest replicas, then name', () => {
    const crowded = placeableNode('a', { claims: [claim('x', { deployment: 'Echo' })] });
    const busy = placeableNode('b', { claims: [claim('y'), claim('z')] });
    const calm = placeableNode('d', { claims: [claim('v')] });
    const same = placeableNode('c', { claims: [claim('w')] });
    const placedOn = (nodes: PlaceableNode[]) => place([request('r')], nodes).placements[0]?.nodeId;
    expect(placedOn([crowded, busy])).toBe('b');
    expect(placedOn([crowded, busy, calm])).toBe('d');
    expect(placedOn([crowded, busy, calm, same])).toBe('c');
  });

  it('lets a surge exceed the CPUs but never the memory', () => {
    const full = placeableNode('w1', {
      cpus: 1,
      memoryBytes: GIB,
      claims: [claim('a', { cpuMilli: 1000, memoryBytes: GIB })],
    });
    expect(place([request('r', { mayExceedCpu: true })], [full]).placements).toHaveLength(1);
    expect(place([request('r', { mayExceedCpu: true, memoryBytes: 1 })], [full]).placements).toHaveLength(0);
  });

  it('fits nothing where claims overlap, and what needs nothing everywhere', () => {
    const slices = [slice('w1', 0, 800)];
    const promised = [claim('old', { slices, memoryBytes: GIB }), claim('new', { slices, memoryBytes: GIB })];
    const node = placeableNode('w1', { gpus: 1, memoryBytes: GIB, claims: promised });
    expect(place([request('r', { gpuMilli: 1 })], [node]).placements).toHaveLength(0);
    expect(place([request('r', { memoryBytes: 1 })], [node]).placements).toHaveLength(0);
    expect(place([request('r', { cpuMilli: 0 })], [node]).placements).toHaveLength(1);
  });

  it('says per node and GPU why a request is not placed', () => {
    const gone = gpu('w1', 1, { virtual: false, usable: false, reason: 'the driver lost it' });
    const mixed = placeableNode('w1', { gpus: 1, claims: [claim('a', { slices: [slice('w1', 0, 800)] })] });
    const withLost = { ...mixed, capacity: { ...mixed.capacity, gpus: [...mixed.capacity.gpus, gone] } };
    expect(reasonsFor({ gpuMilli: 340 }, withLost)).toEqual([
      'node w1: GPU 0 (virtual) has 0.2 free, 0.34 needed',
      'node w1: GPU 1 is unusable: the driver lost it',
    ]);
    expect(reasonsFor({ gpuMilli: 2000 }, withLost)).toEqual([
      'node w1: 0 of 2 GPUs entirely free, 2 needed',
      'node w1: GPU 1 is unusable: the driver lost it',
    ]);
    const small = placeableNode('w2', {
      cpus: 2,
      memoryBytes: 4 * GIB,
      claims: [claim('a', { cpuMilli: 1500, memoryBytes: 2.5 * GIB })],
    });
    expect(reasonsFor({ cpuMilli: 1000, memoryBytes: 2 * GIB, gpuMilli: 500 }, small)).toEqual([
      'node w2: no GPU, 0.5 needed',
      'node w2: 0.5 of 2 CPUs free, 1 needed',
      'node w2: 1.5 GiB of 4 GiB memory free, 2 GiB needed',
    ]);
    expect(reasonsFor({}, placeableNode('w3', { closed: 'it is draining' }))).toEqual([
      'node w3: it is draining',
    ]);
    expect(reasonsFor({})).toEqual(['no node is in the cluster']);
  });

  it('never overcommits, places all or gives reasons, and answers the same each time', () => {
    fc.assert(
      fc.property(arbitraryRequests, arbitraryNodes, (requests, nodes) => {
        const result = place(requests, nodes);
        expect(place(requests, nodes)).toEqual(result);
        expect(result.placements.length + result.unplaced.length).toBe(requests.length);
        for (const { reasons } of result.unplaced) expect(reasons.length).toBeGreaterThan(0);
        for (const node of nodes) {
          const mine = result.placements.filter((placement) => placement.nodeId === node.nodeId);
          const bodies = mine.map(({ replicaId }) => requests.find((body) => body.replicaId === replicaId)!);
          expect(sum(bodies.map((body) => body.cpuMilli))).toBeLessThanOrEqual(node.capacity.cpuMilli);
          expect(sum(bodies.map((body) => body.memoryBytes))).toBeLessThanOrEqual(node.capacity.memoryBytes);
          for (const { uuid } of node.capacity.gpus) {
            const slices = mine.flatMap((placement) => placement.slices).filter((part) => part.uuid === uuid);
            expect(sum(slices.map((part) => part.milli))).toBeLessThanOrEqual(1000);
          }
          mine.forEach((placement, index) => {
            const parts = placement.slices.map((part) => part.milli);
            expect(sum(parts)).toBe(bodies[index]!.gpuMilli);
            expect(parts.length).toBe(Math.ceil(bodies[index]!.gpuMilli / 1000));
          });
        }
      }),
    );
  });
});

const arbitraryRequests = fc
  .array(
    fc.record({
      gpuMilli: fc.oneof(fc.integer({ min: 0, max: 999 }), fc.constantFrom(1000, 2000, 3000)),
      cpuMilli: fc.integer({ min: 0, max: 2000 }),
      memoryBytes: fc.integer({ min: 0, max: 4 }),
    }),
    { maxLength: 12 },
  )
  .map((bodies) => bodies.map((body, index) => request(`r${index}`, body)));

const arbitraryNodes = fc
  .array(
    fc.record({
      gpus: fc.integer({ min: 0, max: 3 }),
      cpus: fc.integer({ min: 0, max: 4 }),
      memoryBytes: fc.integer({ min: 0, max: 8 }),
    }),
    { maxLength: 4 },
  )
  .map((bodies) => bodies.map((body, index) => placeableNode(`n${index}`, body)));

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
