import { expect, it } from 'vitest';
import {
  FLAG_END,
  type Frame,
  FrameDecoder,
  FrameError,
  FrameType,
  HEADER_BYTES,
  MAX_PAYLOAD_BYTES,
} from '../../src/channel/frames.ts';
import { encodeFrame } from './encode-frame.ts';
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
  const type = size > 300 && below(2) === 0 ? FrameType.data : ((1 + below(255)) as FrameType);
  return encodeFrame(type, below(256), stream, content.subarray(at, at + size));
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
  /** what there is of a frame whose end is missing */
  readonly unfinished?: Frame;
}

/** What the decoder hands on in parts: see FrameDecoder. */
const isLarge = ({ type, payload }: Frame) => type === FrameType.data && payload.length >= 4096;

/** The frames with the parts of each large one that is `wanted` put together; what is left over comes behind them. */
function rejoined(parts: readonly Frame[], wanted: readonly Frame[]): Frame[] {
  const left = [...parts];
  const frames = wanted.map((frame) => {
    let whole = left.shift();
    while (isLarge(frame) && whole && whole.payload.length < frame.payload.length && left[0]) {
      const { payload, ...rest } = left.shift() as Frame;
      if ((whole.flags & FLAG_END) !== 0 || rest.stream !== whole.stream) break;
      whole = { ...rest, payload: Buffer.concat([whole.payload, payload]) };
    }
    return whole;
  });
  return [...frames.filter((frame) => frame !== undefined), ...left];
}

/** The format as docs/channel.md has it, in the plainest words. */
function readPlainly(bytes: Buffer): Decoded {
  const frames: Frame[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const size = bytes.readUInt32BE(at);
    if (size > MAX_PAYLOAD_BYTES) return { frames, isError: true };
    const start = at + HEADER_BYTES;
    const frame = {
      type: bytes.readUInt8(at + 4),
      flags: bytes.readUInt8(at + 5),
      stream: bytes.readUInt32BE(at + 6),
      payload: bytes.subarray(start, start + size),
    };
    if (start + size > bytes.length) return { frames, isError: false, unfinished: frame };
    frames.push(frame);
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

/** Large frames in one piece, and without the beginning of one that never ended, of which no part may say END. */
function normalized(decoded: Decoded, expected: Decoded): Decoded {
  const frames = rejoined(decoded.frames, expected.frames);
  const { unfinished } = expected;
  if (unfinished === undefined || unfinished.type !== FrameType.data) return { ...decoded, frames };
  const parts = frames.splice(expected.frames.length);
  const begun = Buffer.concat(parts.map(({ payload }) => payload));
  expect(begun.equals(unfinished.payload.subarray(0, begun.length))).toBe(true);
  expect(parts.every(({ flags, stream }) => (flags & FLAG_END) === 0 && stream === unfinished.stream)).toBe(
    true,
  );
  return { ...decoded, frames };
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
    const decoded = normalized(decode(bytes, below), expected);
    if (!isSame(decoded, expected)) expect(decoded, `after ${seen.sent} frames`).toEqual(expected);
    seen.read += decoded.frames.length;
    seen.errors += Number(decoded.isError);
  }
  expect(seen.read).toBeGreaterThan(FUZZED_FRAMES / 2);
  expect(seen.errors).toBeGreaterThan(100);
}, 600_000);
