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

/** So much of an unfinished data frame is handed on as a frame of its own. */
const PIECE_BYTES = 4096;

/**
 * Cuts a byte stream into frames. Payloads are views of the received chunks where a frame lies within one chunk. Of a large
 * data frame that spans several, each chunk's part is handed on as a data frame of its own, END on the last of them:
 * joining them would copy nearly every body once more. Chunks of any other unfinished frame are joined once, when it is
 * complete: a frame that comes byte by byte costs no more than one that comes whole.
 */
export class FrameDecoder {
  #parts: Buffer[] = [];
  #heldBytes = 0;
  #neededBytes = HEADER_BYTES;
  /** what is left of a data frame whose beginning was handed on; 0: none */
  #owedBytes = 0;
  #owedFlags = 0;
  #owedStream = 0;

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

  /** Hands over every whole frame; returns what is left and notes how much it takes to go on. */
  #cut(bytes: Buffer, onFrame: (frame: Frame) => void): Buffer {
    let offset = this.#owedBytes > 0 ? this.#takeOwed(bytes, 0, onFrame) : 0;
    if (this.#owedBytes > 0) return bytes.subarray(offset);
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
        offset = this.#begin(bytes, offset, onFrame);
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

  /** The frame at `offset` is not whole: hands on its beginning where that is worth it; returns where it stopped. */
  #begin(bytes: Buffer, offset: number, onFrame: (frame: Frame) => void): number {
    const length = bytes.readUInt32BE(offset);
    const isData = bytes.readUInt8(offset + 4) === FrameType.data;
    this.#neededBytes = HEADER_BYTES + (isData ? Math.min(length, PIECE_BYTES) : length);
    if (bytes.length - offset < this.#neededBytes) return offset;
    this.#owedBytes = length;
    this.#owedFlags = bytes.readUInt8(offset + 5);
    this.#owedStream = bytes.readUInt32BE(offset + 6);
    return this.#takeOwed(bytes, offset + HEADER_BYTES, onFrame);
  }

  /** Hands on what is here of an owed frame, unless that is little and not its end; returns where it stopped. */
  #takeOwed(bytes: Buffer, start: number, onFrame: (frame: Frame) => void): number {
    this.#neededBytes = Math.min(PIECE_BYTES, this.#owedBytes);
    const end = Math.min(bytes.length, start + this.#owedBytes);
    if (end - start < this.#neededBytes) return start;
    this.#owedBytes -= end - start;
    this.#neededBytes = Math.min(PIECE_BYTES, this.#owedBytes);
    const flags = this.#owedBytes === 0 ? this.#owedFlags : this.#owedFlags & ~FLAG_END;
    onFrame({
      type: FrameType.data,
      flags,
      stream: this.#owedStream,
      payload: bytes.subarray(start, end),
    });
    return end;
  }
}
