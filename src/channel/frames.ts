/**
 * The wire format of channels and links: what docs/channel.md describes and test/channel/golden/ pins for both
 * languages. A frame is a 10-byte header (payload length, type, flags, stream; big-endian) and at most 64 KiB.
 */
export const PROTOCOL_VERSION = 1;
export const HEADER_BYTES = 10;
export const MAX_PAYLOAD_BYTES = 64 * 1024;
/** How much a sender may have unacknowledged on one stream and direction before the receiver grants more. */
export const INITIAL_WINDOW_BYTES = 1024 * 1024;

export const FrameType = {
  hello: 1,
  request: 2,
  data: 3,
  response: 4,
  window: 5,
  cancel: 6,
  refuse: 7,
  failed: 8,
  ping: 9,
  pong: 10,
  goaway: 11,
  control: 12,
  result: 13,
  notify: 14,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

/** No more data follows from this side on this stream. */
export const FLAG_END = 1;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** Header and payload of one frame, in one buffer where the payload is small. */
export function encodeFrame(type: FrameType, flags: number, stream: number, payload?: Uint8Array): Buffer {
  const length = payload?.length ?? 0;
  if (length > MAX_PAYLOAD_BYTES) {
    throw new RangeError(`frame payload of ${length} bytes is over the limit of ${MAX_PAYLOAD_BYTES}`);
  }
  const out = Buffer.allocUnsafe(HEADER_BYTES + length);
  out.writeUInt32BE(length, 0);
  out.writeUInt8(type, 4);
  out.writeUInt8(flags, 5);
  out.writeUInt32BE(stream, 6);
  if (payload !== undefined) out.set(payload, HEADER_BYTES);
  return out;
}

/** What a peer sent cannot be a frame: the connection cannot be trusted any further and is closed. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
}

/**
 * Cuts a byte stream into frames. Payloads are views of the received chunks where a frame lies within one chunk,
 * copies where it spans several.
 */
export class FrameDecoder {
  #pending: Buffer = Buffer.alloc(0);

  /** @throws FrameError when a length is over the limit */
  push(chunk: Buffer, onFrame: (frame: Frame) => void): void {
    const bytes = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    let offset = 0;
    while (bytes.length - offset >= HEADER_BYTES) {
      const length = bytes.readUInt32BE(offset);
      if (length > MAX_PAYLOAD_BYTES)
        throw new FrameError(`frame of ${length} bytes: not a modelserve channel?`);
      const end = offset + HEADER_BYTES + length;
      if (end > bytes.length) break;
      const frame = {
        type: bytes.readUInt8(offset + 4),
        flags: bytes.readUInt8(offset + 5),
        stream: bytes.readUInt32BE(offset + 6),
        payload: bytes.subarray(offset + HEADER_BYTES, end),
      };
      offset = end;
      onFrame(frame);
    }
    this.#pending = offset === bytes.length ? Buffer.alloc(0) : bytes.subarray(offset);
  }
}
