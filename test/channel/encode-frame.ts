import { FrameBatch } from '../../src/channel/frame-batch.ts';
import { encodeHeader, type FrameType } from '../../src/channel/frames.ts';

/** A frame as a connection writes it: small ones by way of a batch, large ones as header and payload. */
export function encodeFrame(type: FrameType, flags: number, stream: number, payload?: Uint8Array): Buffer {
  const batch = FrameBatch.take();
  if (!batch.hasRoomFor(payload?.length ?? 0)) {
    const bytes = payload ?? new Uint8Array();
    return Buffer.concat([encodeHeader(type, flags, stream, bytes.length), bytes]);
  }
  batch.add(type, flags, stream, payload);
  const bytes = Buffer.from(batch.bytes);
  batch.giveBack();
  return bytes;
}
