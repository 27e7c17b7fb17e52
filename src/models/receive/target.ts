import { write } from 'node:fs';
import { promisify } from 'node:util';
import type { Target } from './types.ts';

const writeAt = promisify(write);

/** What is left of a target once so many bytes of the part have come. */
export function beginningAt(target: Target, doneBytes: number): Target {
  if ('memory' in target) return { memory: target.memory.subarray(doneBytes) };
  return { fd: target.fd, position: target.position + doneBytes };
}

/**
 * A sink that fills a target: for a source, or an answer, whose bytes have to pass through this thread.
 * @param offset of the part in the file
 */
export function sinkInto(
  target: Target,
  offset: number,
  onBytes: (count: number) => void,
): (bytes: Uint8Array, position: number) => Promise<void> {
  return async (bytes, position) => {
    const at = position - offset;
    if ('memory' in target) target.memory.set(bytes, at);
    else await writeFully(target.fd, bytes, target.position + at);
    onBytes(bytes.length);
  };
}

async function writeFully(fd: number, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await writeAt(fd, bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}
