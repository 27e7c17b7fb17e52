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

/** What a header says. */
interface Header extends Omit<Frame, 'payload'> {
  /** of the payload, in bytes */
  readonly length: number;
}

/**
 * Writes the 10 bytes in front of a payload.
 * @throws RangeError when the payload is over the limit
 */
export function writeHeader(target: Buffer, offset: number, header: Header): void {
  const { length, stream } = header;
  if (length > MAX_PAYLOAD_BYTES) {
    throw new RangeError(`frame payload of ${length} bytes is over the limit of ${MAX_PAYLOAD_BYTES}`);
  }
  target.writeUInt32BE(length, offset);
  target[offset + 4] = header.type;
  target[offset + 5] = header.flags;
  target.writeUInt32BE(stream, offset + 6);
}

/** A header alone: for payloads that are not worth a copy. */
export function encodeHeader(type: FrameType, flags: number, stream: number, length: number): Buffer {
  const out = Buffer.allocUnsafe(HEADER_BYTES);
  writeHeader(out, 0, { type, flags, stream, length });
  return out;
}

/** Header and payload of one frame in one buffer. */
export function encodeFrame(type: FrameType, flags: number, stream: number, payload?: Uint8Array): Buffer {
  const length = payload?.length ?? 0;
  const out = Buffer.allocUnsafe(HEADER_BYTES + length);
  writeHeader(out, 0, { type, flags, stream, length });
  if (payload !== undefined) out.set(payload, HEADER_BYTES);
  return out;
}

/** The u32 of a window frame. */
export function windowPayload(bytes: number): Buffer {
  const out = Buffer.allocUnsafe(4);
  out.writeUInt32BE(bytes, 0);
  return out;
}

/** What a peer sent cannot be a frame: the connection cannot be trusted any further and is closed. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
}

/**
 * Cuts a byte stream into frames. Payloads are views of the received chunks where a frame lies within one chunk,
 * copies where it spans several. Chunks of an unfinished frame are joined once, when it is complete: a frame that comes
 * byte by byte costs no more than one that comes whole.
 */
export class FrameDecoder {
  #parts: Buffer[] = [];
  #heldBytes = 0;
  #neededBytes = HEADER_BYTES;

  /** @throws FrameError when a length is over the limit */
  push(chunk: Buffer, onFrame: (frame: Frame) => void): void {
    if (this.#heldBytes > 0) {
      this.#parts.push(chunk);
      this.#heldBytes += chunk.length;
      if (this.#heldBytes < this.#neededBytes) return;
    }
    const bytes = this.#parts.length === 0 ? chunk : Buffer.concat(this.#parts, this.#heldBytes);
    const rest = this.#cut(bytes, onFrame);
    this.#parts = rest.length === 0 ? [] : [rest];
    this.#heldBytes = rest.length;
  }

  /** Hands over every whole frame; returns what is left and notes how much the next frame needs. */
  #cut(bytes: Buffer, onFrame: (frame: Frame) => void): Buffer {
    let offset = 0;
    this.#neededBytes = HEADER_BYTES;
    while (bytes.length - offset >= HEADER_BYTES) {
      const length = bytes.readUInt32BE(offset);
      if (length > MAX_PAYLOAD_BYTES) {
        throw new FrameError(
          `frame of ${length} bytes, where ${MAX_PAYLOAD_BYTES} are allowed: the peer does not speak this protocol`,
        );
      }
      const end = offset + HEADER_BYTES + length;
      if (end > bytes.length) {
        this.#neededBytes = end - offset;
        break;
      }
      const frame = {
        type: bytes.readUInt8(offset + 4),
        flags: bytes.readUInt8(offset + 5),
        stream: bytes.readUInt32BE(offset + 6),
        payload: bytes.subarray(offset + HEADER_BYTES, end),
      };
      offset = end;
      onFrame(frame);
    }
    return bytes.subarray(offset);
  }
}
