import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Claims } from '../../../src/agent/replicas/claims.ts';
import type { ReplicaAssignment } from '../../../src/cluster/replicas/types.ts';
import { gpu, pinnedSpec, slice } from '../../cluster/builders.ts';

const never = new AbortController().signal;

function replica(replicaId: string, milli: number, over: { gpu?: number; memoryBytes?: number } = {}) {
  return {
    replicaId,
    deployment: 'Echo',
    revision: 1,
    desired: 'run',
    slices: milli === 0 ? [] : [slice('n1', over.gpu ?? 0, milli)],
    spec: pinnedSpec({ gpuMilli: milli, memoryBytes: over.memoryBytes ?? 0 }),
  } satisfies ReplicaAssignment;
}

function claimsOn(gpus: number, memoryBytes = 100): Claims {
  const list = Array.from({ length: gpus }, (_, index) => gpu('n1', index));
  return new Claims(() => ({ cpuMilli: 0, memoryBytes, gpus: list }));
}

const orders = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('ask' as const),
      milli: fc.integer({ min: 1, max: 1000 }),
      gpu: fc.nat(1),
    }),
    fc.record({ kind: fc.constant('release' as const), which: fc.nat(20) }),
    fc.record({ kind: fc.constant('giveUp' as const), which: fc.nat(20) }),
  ),
  { maxLength: 60 },
);

test('whatever is asked, released and given up, no GPU is ever promised twice, and all get their turn', async () => {
  await fc.assert(
    fc.asyncProperty(orders, async (steps) => {
      const claims = claimsOn(2);
      const asked: { id: string; abort: AbortController; outcome: Promise<boolean> }[] = [];
      for (const step of steps) {
        if (step.kind === 'ask') {
          const id = `r${asked.length}`;
          const abort = new AbortController();
          const outcome = claims.admitted(
            replica(id, step.milli, { gpu: step.gpu }),
            () => undefined,
            abort.signal,
          );
          asked.push({ id, abort, outcome });
        } else {
          const one = asked[step.which];
          if (step.kind === 'release' && one) claims.release(one.id);
          else one?.abort.abort();
        }
        for (const uuid of ['GPU-n1-0', 'GPU-n1-1']) {
          const slices = claims.held.flatMap((claim) => claim.slices).filter((held) => held.uuid === uuid);
          expect(slices.reduce((sum, held) => sum + held.milli, 0)).toBeLessThanOrEqual(1000);
        }
      }
      // Each that leaves lets others in, until everybody has been in or has given up.
      for (let round = 0; claims.held.length > 0; round++) {
        expect(round).toBeLessThan(100);
        for (const { replicaId } of claims.held) claims.release(replicaId);
      }
      await Promise.all(asked.map(({ outcome }) => outcome));
    }),
  );
});

test('memory is judged, adopted claims are held even where they do not fit, and reasons are told', async () => {
  const claims = claimsOn(1, 100);
  claims.hold(replica('old', 900, { memoryBytes: 90 }));
  claims.hold(replica('older', 900));
  const reasons: string[] = [];
  const waiting = claims.admitted(
    replica('new', 0, { memoryBytes: 20 }),
    (reason) => reasons.push(reason),
    never,
  );
  expect(reasons).toEqual([expect.stringContaining('memory')]);
  claims.release('old');
  expect(await waiting).toBe(true);
});

test('one that gives up before it waits gets nothing', async () => {
  const claims = claimsOn(1);
  const gaveUp = AbortSignal.abort();
  expect(await claims.admitted(replica('a', 500), () => undefined, gaveUp)).toBe(false);
  expect(claims.held).toEqual([]);
});
