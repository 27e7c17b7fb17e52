import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PieceSet, pieceAt, pieceCount, segmentsOf } from '../../../src/lib/content/pieces.ts';

const sizes = fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 12 });
const filesOf = (lengths: readonly number[]) =>
  lengths.map((sizeBytes, index) => ({ path: `f${index}`, sizeBytes, sha256: '', executable: false }));

test('segments of a range are its bytes, once each and in order', () => {
  fc.assert(
    fc.property(sizes, fc.nat(400), fc.nat(400), (lengths, from, wish) => {
      const bytes = lengths.flatMap((length, file) => Array.from({ length }, (_, at) => `${file}:${at}`));
      const offset = Math.min(from, bytes.length);
      const length = Math.min(wish, bytes.length - offset);
      const read = segmentsOf(filesOf(lengths), { offset, length }).flatMap((segment) =>
        Array.from({ length: segment.length }, (_, at) => `${segment.file}:${segment.offset + at}`),
      );
      expect(read).toEqual(bytes.slice(offset, offset + length));
    }),
  );
});

test('pieces cover a content without gap or overlap', () => {
  for (const totalBytes of [0, 1, 4 * 2 ** 20, 4 * 2 ** 20 + 1, 10 ** 9, 17 * 2 ** 30]) {
    let end = 0;
    for (let index = 0; index < pieceCount(totalBytes); index += 1) {
      const { offset, length } = pieceAt(index, totalBytes);
      expect(offset).toBe(end);
      expect(length).toBeGreaterThan(0);
      end += length;
    }
    expect(end).toBe(totalBytes);
  }
});

test('a set of pieces counts its members and survives being sent', () => {
  fc.assert(
    fc.property(fc.nat(70), fc.array(fc.tuple(fc.boolean(), fc.nat(80))), (size, steps) => {
      const set = new PieceSet(size);
      const model = new Set<number>();
      for (const [adds, piece] of steps) {
        if (adds) set.add(piece);
        else set.delete(piece);
        if (piece < size) adds ? model.add(piece) : model.delete(piece);
      }
      const sorted = [...model].sort((left, right) => left - right);
      expect([...set.members()]).toEqual(sorted);
      expect(set.count).toBe(model.size);
      expect([...PieceSet.decode(set.encode(), size).members()]).toEqual(sorted);
      expect(set.isFull).toBe(model.size === size);
    }),
  );
});
