import { expect, it } from 'vitest';
import {
  encodeFrame,
  type Frame,
  FrameDecoder,
  FrameError,
  type FrameType,
  HEADER_BYTES,
  MAX_PAYLOAD_BYTES,
} from '../../src/channel/frames.ts';
import { FUZZ_SEED, FUZZED_FRAMES } from './fuzz.ts';

const content = Buffer.from(Array.from({ length: MAX_PAYLOAD_BYTES }, (_, at) => (at * 131) & 0xff));
const sizes = [0, 0, 1, 4, 9, 10, 11, 60, 300];

/** mulberry32: the same numbers from the same seed. */
function randomBelow(seed: number): (limit: number) => number {
  let state = seed | 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}

type Below = (limit: number) => number;

function someFrame(below: Below): Buffer {
  const size = below(2_000) === 0 ? MAX_PAYLOAD_BYTES - below(2) : (sizes[below(sizes.length)] ?? 0);
  const at = below(content.length - size + 1);
  const stream = below(2) === 0 ? below(9) : below(2 ** 32);
  return encodeFrame((1 + below(255)) as FrameType, below(256), stream, content.subarray(at, at + size));
}

/** What a broken peer or line may make of a stream; most streams stay as they are. */
const damages: readonly ((bytes: Buffer, below: Below) => Buffer)[] = [
  (bytes, below) => bytes.subarray(0, below(bytes.length + 1)),
  (bytes, below) => {
    const damaged = Buffer.from(bytes);
    for (let left = 1 + below(4); left > 0 && damaged.length > 0; left -= 1) {
      damaged[below(damaged.length)] = below(256);
    }
    return damaged;
  },
  (bytes, below) => {
    const at = below(bytes.length + 1);
    const inserted = content.subarray(0, below(20));
    return Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at + below(20))]);
  },
  (bytes, below) => Buffer.from(Array.from(bytes.subarray(0, 200), () => below(256))),
];

interface Decoded {
  readonly frames: readonly Frame[];
  readonly isError: boolean;
}

/** The format as docs/channel.md has it, in the plainest words. */
function readPlainly(bytes: Buffer): Decoded {
  const frames: Frame[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const size = bytes.readUInt32BE(at);
    if (size > MAX_PAYLOAD_BYTES) return { frames, isError: true };
    const start = at + HEADER_BYTES;
    if (start + size > bytes.length) break;
    frames.push({
      type: bytes.readUInt8(at + 4),
      flags: bytes.readUInt8(at + 5),
      stream: bytes.readUInt32BE(at + 6),
      payload: bytes.subarray(start, start + size),
    });
    at = start + size;
  }
  return { frames, isError: false };
}

function decode(bytes: Buffer, below: Below): Decoded {
  const decoder = new FrameDecoder();
  const frames: Frame[] = [];
  const longest = [1, 7, 30, 1_000, 100_000][below(5)] ?? 1;
  try {
    for (let at = 0; at < bytes.length; ) {
      const end = at + 1 + below(bytes.length > 5_000 ? 100_000 : longest);
      decoder.push(bytes.subarray(at, end), (frame) => frames.push(frame));
      at = end;
    }
    return { frames, isError: false };
  } catch (error) {
    expect(error).toBeInstanceOf(FrameError);
    return { frames, isError: true };
  }
}

function isSame(one: Decoded, other: Decoded): boolean {
  return (
    one.isError === other.isError &&
    one.frames.length === other.frames.length &&
    one.frames.every((frame, at) => {
      const { type, flags, stream, payload } = other.frames[at] ?? frame;
      const isHead = frame.type === type && frame.flags === flags && frame.stream === stream;
      return isHead && frame.payload.equals(payload);
    })
  );
}

it(`the decoder takes ${FUZZED_FRAMES} frames, whole, cut and damaged, as the format says`, () => {
  process.stdout.write(`fuzzing frames in TypeScript: MODELSERVE_FUZZ_SEED=${FUZZ_SEED}\n`);
  const below = randomBelow(FUZZ_SEED);
  const seen = { sent: 0, read: 0, errors: 0 };
  while (seen.sent < FUZZED_FRAMES) {
    const frames = Array.from({ length: 1 + below(40) }, () => someFrame(below));
    seen.sent += frames.length;
    const whole = Buffer.concat(frames);
    const damage = damages[below(3 * damages.length)];
    const bytes = damage === undefined ? whole : damage(whole, below);
    const expected = readPlainly(bytes);
    if (damage === undefined && expected.frames.length !== frames.length)
      throw new Error('frames are missing');
    const decoded = decode(bytes, below);
    if (!isSame(decoded, expected)) expect(decoded, `after ${seen.sent} frames`).toEqual(expected);
    seen.read += decoded.frames.length;
    seen.errors += Number(decoded.isError);
  }
  expect(seen.read).toBeGreaterThan(FUZZED_FRAMES / 2);
  expect(seen.errors).toBeGreaterThan(100);
}, 600_000);
