import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ChunkList } from '../../src/ingress/chunk-list.ts';

it('holds the bytes in order, whatever their pieces, and forgets from the front', () => {
  const pieces = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 30 });
  fc.assert(
    fc.property(pieces, fc.nat(600), fc.integer({ min: 1, max: 50 }), (chunks, dropBytes, viewBytes) => {
      const list = new ChunkList();
      for (const chunk of chunks) list.push(Buffer.from(chunk));
      const wanted = Buffer.concat(chunks).subarray(dropBytes);
      list.drop(dropBytes);
      expect(list.length).toBe(wanted.length);
      const seen: Buffer[] = [];
      for (let at = 0; at < list.length; ) {
        const view = list.view(at, viewBytes);
        expect(view.length).toBeGreaterThan(0);
        expect(view.length).toBeLessThanOrEqual(viewBytes);
        seen.push(view);
        at += view.length;
      }
      expect(Buffer.concat(seen).equals(wanted)).toBe(true);
      expect(list.view(list.length, 10)).toHaveLength(0);
    }),
  );
});

it('takes a million single bytes in a moment', () => {
  const list = new ChunkList();
  const startedMs = performance.now();
  for (let index = 0; index < 1024 * 1024; index += 1) list.push(Buffer.from([index & 255]));
  expect(list.length).toBe(1024 * 1024);
  expect(list.view(1_000_000, 1)[0]).toBe(1_000_000 & 255);
  expect(performance.now() - startedMs).toBeLessThan(5_000);
});
