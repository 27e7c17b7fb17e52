import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Frame,
  FrameDecoder,
  FrameError,
  FrameType,
  HEADER_BYTES,
  MAX_PAYLOAD_BYTES,
} from '../../src/channel/frames.ts';
import { encodeFrame } from './encode-frame.ts';

interface Golden {
  readonly frames: readonly {
    readonly type: number;
    readonly flags: number;
    readonly stream: number;
    readonly payload_hex: string;
    readonly payload_times?: number;
  }[];
  readonly error: boolean;
}

const folder = join(import.meta.dirname, 'golden');
const names = readdirSync(folder)
  .filter((name) => name.endsWith('.bin'))
  .map((name) => name.slice(0, -4));

function decodeAll(chunks: readonly Buffer[]): { frames: Frame[]; error: unknown } {
  const decoder = new FrameDecoder();
  const frames: Frame[] = [];
  try {
    for (const chunk of chunks) decoder.push(chunk, (frame) => frames.push(frame));
    return { frames, error: null };
  } catch (error) {
    return { frames, error };
  }
}

function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const edges = [...cuts.map((cut) => cut % (bytes.length + 1)), 0, bytes.length].sort((a, b) => a - b);
  return edges.slice(1).map((edge, index) => bytes.subarray(edges[index], edge));
}

describe('golden frames', () => {
  it('are there for every frame type', () => {
    expect(names.length).toBeGreaterThan(20);
  });

  it.each(names)('%s is decoded, however it is cut, and encoded to the same bytes', (name) => {
    const bytes = readFileSync(join(folder, `${name}.bin`));
    const golden = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as Golden;
    const wanted = golden.frames.map((frame) => ({
      type: frame.type,
      flags: frame.flags,
      stream: frame.stream,
      payload: Buffer.from(frame.payload_hex.repeat(frame.payload_times ?? 1), 'hex'),
    }));
    const bytewise = bytes.length > 4096 ? [bytes] : Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
    for (const chunks of [[bytes], bytewise]) {
      const { frames, error } = decodeAll(chunks);
      expect(frames).toEqual(wanted);
      expect(error instanceof FrameError).toBe(golden.error);
    }
    const encoded = wanted.map((frame) =>
      encodeFrame(frame.type as FrameType, frame.flags, frame.stream, frame.payload),
    );
    const whole = Buffer.concat(encoded);
    expect(whole.equals(bytes.subarray(0, whole.length))).toBe(true);
    if (!golden.error) expect(whole.length).toBe(bytes.length);
  });
});

const anyFrame = fc.record({
  type: fc.integer({ min: 1, max: 255 }),
  flags: fc.integer({ min: 0, max: 255 }),
  stream: fc.integer({ min: 0, max: 0xffff_ffff }),
  payload: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
});

describe('the decoder', () => {
  it('finds the same frames whatever the splits', () => {
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 20 }), fc.array(fc.nat(10_000)), (frames, cuts) => {
        const bytes = Buffer.concat(
          frames.map((frame) =>
            encodeFrame(frame.type as FrameType, frame.flags, frame.stream, frame.payload),
          ),
        );
        expect(decodeAll(split(bytes, cuts))).toEqual({ frames, error: null });
      }),
      { numRuns: 500 },
    );
  });

  it('answers random bytes with frames or FrameError, and keeps no more than one frame of them', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 30 }), (chunks) => {
        const { frames, error } = decodeAll(chunks.map((chunk) => Buffer.from(chunk)));
        if (error !== null) expect(error).toBeInstanceOf(FrameError);
        for (const frame of frames) expect(frame.payload.length).toBeLessThanOrEqual(MAX_PAYLOAD_BYTES);
      }),
      { numRuns: 1000 },
    );
  });

  it('takes a frame of the largest size byte by byte in linear time', () => {
    const bytes = encodeFrame(3, 0, 1, Buffer.alloc(MAX_PAYLOAD_BYTES, 7));
    const startedMs = performance.now();
    const { frames } = decodeAll(Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)));
    expect(frames).toHaveLength(MAX_PAYLOAD_BYTES / 4096);
    // joined at every byte, this copied 2 GB
    expect(performance.now() - startedMs).toBeLessThan(1_000);
  });

  it('hands on large data frames as they come, END on their last part, and holds back no byte of them', () => {
    const anyDataFrame = fc.record({
      flags: fc.integer({ min: 0, max: 1 }),
      stream: fc.integer({ min: 1, max: 3 }),
      size: fc.integer({ min: 0, max: MAX_PAYLOAD_BYTES }),
    });
    fc.assert(
      fc.property(fc.array(anyDataFrame, { maxLength: 4 }), fc.array(fc.nat()), (sent, cuts) => {
        const frames = sent.map(({ flags, stream, size }, at) => ({
          type: FrameType.data,
          flags,
          stream,
          payload: Buffer.alloc(size, at + 1),
        }));
        const bytes = Buffer.concat(
          frames.map((frame) => encodeFrame(frame.type, frame.flags, frame.stream, frame.payload)),
        );
        const { frames: parts, error } = decodeAll(split(bytes, cuts));
        expect(error).toBeNull();
        // Parts of one frame carry the byte it was filled with; END is at most on the last of them.
        const joined: Frame[] = [];
        for (const part of parts) {
          const last = joined.at(-1);
          const isSame = last !== undefined && part.payload.length > 0 && last.payload[0] === part.payload[0];
          if (isSame) {
            expect(last.flags).toBe(0);
            joined.pop();
          }
          joined.push(isSame ? { ...part, payload: Buffer.concat([last.payload, part.payload]) } : part);
        }
        const asText = ({ payload, ...rest }: Frame) => ({ ...rest, text: payload.toString('latin1') });
        expect(joined.map(asText)).toEqual(frames.map(asText)); // buffers are compared byte by byte, which takes 20 s
      }),
      { numRuns: 100 },
    );
  });

  it('refuses to encode what no decoder takes', () => {
    expect(() => encodeFrame(3, 0, 1, Buffer.alloc(MAX_PAYLOAD_BYTES + 1))).toThrow(RangeError);
    expect(encodeFrame(9, 0, 0)).toHaveLength(HEADER_BYTES);
  });
});
