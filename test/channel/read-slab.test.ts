import { describe, expect, it } from 'vitest';
import { ReadSlab } from '../../src/channel/read-slab.ts';

/** Reads `sizes` as a socket would, each filled with its own byte. */
function read(slab: ReadSlab, sizes: readonly number[]): Buffer[] {
  return sizes.map((size, at) => {
    const room = slab.room();
    expect(room.length).toBeGreaterThanOrEqual(16 * 1024);
    const bytes = Math.min(size, room.length);
    room.fill(at % 256, 0, bytes);
    return slab.taken(bytes);
  });
}

describe('the memory that is read into', () => {
  it('keeps what was read while more is read, across slabs of both sizes', () => {
    const sizes = Array.from({ length: 600 }, (_, at) => (at % 3 === 0 ? 200_000 : at % 7 === 0 ? 1 : 100));
    read(new ReadSlab(), sizes).forEach((part, at) => {
      expect(part.every((byte) => byte === at % 256)).toBe(true);
    });
  });

  it('has room for several frames while bodies come, and is small again afterwards', () => {
    const slab = new ReadSlab();
    read(slab, [60_000, 60_000]);
    expect(slab.room().length).toBeGreaterThan(300_000);
    const small = Array.from({ length: 10_000 }, () => 100);
    expect(read(slab, small).at(-1)?.buffer.byteLength).toBe(64 * 1024);
  });
});
