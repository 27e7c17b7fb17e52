import { writeSync } from 'node:fs';
import { codeOf } from '../../lib/errors.ts';

/**
 * Makes this thread write its output itself, at once. A worker thread's stdout otherwise goes through the main thread when both
 * have time: the last words of a thread that dies, which say why, would be lost.
 */
export function writeOutputDirectly(): void {
  process.stdout.write = directWrite(1);
  process.stderr.write = directWrite(2);
}

type Write = typeof process.stdout.write;
type Done = (error?: Error | null) => void;

function directWrite(fd: number): Write {
  return (chunk: string | Uint8Array, encodingOrDone?: BufferEncoding | Done, done?: Done): boolean => {
    const encoding = typeof encodingOrDone === 'string' ? encodingOrDone : 'utf8';
    writeAll(fd, typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk);
    const whenDone = typeof encodingOrDone === 'function' ? encodingOrDone : done;
    if (whenDone !== undefined) queueMicrotask(() => whenDone());
    return true;
  };
}

/** Output that cannot be written (the disk is full, the reader has gone) is dropped: it must not fail a request. */
function writeAll(fd: number, bytes: Uint8Array): void {
  let offset = 0;
  while (offset < bytes.length) {
    try {
      offset += writeSync(fd, bytes, offset);
    } catch (error) {
      if (codeOf(error) !== 'EAGAIN') return;
      // A pipe whose reader is slow: wait for it, as a blocking write would.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}
