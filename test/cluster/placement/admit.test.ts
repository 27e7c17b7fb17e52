import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AdmissionRequest, admit } from '../../../src/cluster/placement/admit.ts';
import type { Claim } from '../../../src/cluster/placement/types.ts';
import { claim, GIB, gpu, placeableNode, slice } from '../builders.ts';

const { capacity } = placeableNode('w1', { gpus: 2, memoryBytes: 4 * GIB });

function asking(over: Partial<AdmissionRequest> = {}): AdmissionRequest {
  const gpuMilli = (over.slices ?? []).reduce((sum, part) => sum + part.milli, 0);
  return { cpuMilli: 100, memoryBytes: 0, gpuMilli, slices: [], ...over };
}

describe('admit', () => {
  it('counts what runs and what drains alike', () => {
    const held = [
      claim('a', { slices: [slice('w1', 0, 400)] }),
      claim('b', { slices: [slice('w1', 0, 300)] }),
    ];
    expect(admit(asking({ slices: [slice('w1', 0, 300)] }), held, capacity)).toEqual({ ok: true });
    expect(admit(asking({ slices: [slice('w1', 0, 301)] }), held, capacity)).toEqual({
      ok: false,
      reason: 'GPU 0 has 0.3 free until a replica leaves, 0.301 needed',
    });
  });

  it('adds up slices of one request on the same GPU', () => {
    const twice = asking({ slices: [slice('w1', 0, 600), slice('w1', 0, 600)] });
    expect(admit(twice, [], capacity).ok).toBe(false);
  });

  it('refuses GPUs that it does not have or that are unusable', () => {
    expect(admit(asking({ slices: [slice('w2', 0, 1)] }), [], capacity)).toEqual({
      ok: false,
      reason: 'this node has no GPU GPU-w2-0',
    });
    const lost = { ...capacity, gpus: [gpu('w1', 0, { usable: false, reason: 'nvidia-smi hangs' })] };
    expect(admit(asking({ slices: [slice('w1', 0, 1)] }), [], lost)).toEqual({
      ok: false,
      reason: 'GPU 0 is unusable: nvidia-smi hangs',
    });
  });

  it('refuses slices that are not what the spec asks for', () => {
    expect(admit(asking({ gpuMilli: 500 }), [], capacity)).toEqual({
      ok: false,
      reason: 'its GPU slices add up to 0, 0.5 needed',
    });
    const negative = asking({ gpuMilli: 500, slices: [slice('w1', 0, 1500), slice('w1', 1, -1000)] });
    expect(admit(negative, [], capacity).ok).toBe(false);
  });

  it('keeps memory within the node, leaves CPUs to the leader, and reserves nothing for 0', () => {
    const held = [claim('a', { memoryBytes: 4 * GIB, cpuMilli: 100_000 })];
    expect(admit(asking({ cpuMilli: 9_000 }), held, capacity)).toEqual({ ok: true });
    expect(admit(asking({ memoryBytes: GIB }), held, capacity)).toEqual({
      ok: false,
      reason: '0 bytes of 4 GiB memory free until a replica leaves, 1 GiB needed',
    });
  });

  it('never lets a GPU or the memory be overcommitted, whatever is asked in whatever order', () => {
    const arbitrarySlice = fc.record({
      uuid: fc.constantFrom('GPU-w1-0', 'GPU-w1-1', 'GPU-w1-9'),
      index: fc.constant(0),
      milli: fc.integer({ min: 1, max: 1200 }),
    });
    const arbitraryAsked = fc.array(
      fc.record({
        slices: fc.array(arbitrarySlice, { maxLength: 2 }),
        memoryBytes: fc.integer({ min: 0, max: 3 * GIB }),
      }),
    );
    fc.assert(
      fc.property(arbitraryAsked, (requests) => {
        const held: Claim[] = [];
        for (const body of requests) {
          if (admit(asking(body), held, capacity).ok) held.push(claim(`r${held.length}`, body));
        }
        const slices = held.flatMap((part) => part.slices);
        for (const { uuid } of capacity.gpus) {
          const milli = slices
            .filter((part) => part.uuid === uuid)
            .reduce((sum, part) => sum + part.milli, 0);
          expect(milli).toBeLessThanOrEqual(1000);
        }
        expect(slices.some((part) => part.uuid === 'GPU-w1-9')).toBe(false);
        expect(held.reduce((sum, part) => sum + part.memoryBytes, 0)).toBeLessThanOrEqual(4 * GIB);
      }),
    );
  });
});
