import { closeSync, openSync, readSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';

const READ_INTERVAL_MS = 50;
const READ_BYTES = 64 * 1024;

/** Hands on what a process appends to a file, line by line, and keeps all of it. */
export class OutputReader {
  readonly #onLine: (line: string) => void;
  readonly #descriptor: number;
  readonly #decoder = new StringDecoder('utf8');
  readonly #timer: NodeJS.Timeout;
  #text = '';
  #tail = '';
  #isOpen = true;

  /** @param path a file that is there */
  constructor(path: string, onLine: (line: string) => void) {
    this.#onLine = onLine;
    this.#descriptor = openSync(path, 'r');
    this.#timer = setInterval(() => this.#read(), READ_INTERVAL_MS);
  }

  /** Everything up to the last `finish`. */
  get text(): string {
    return this.#text;
  }

  /** Hands on the rest, and the last line even without a newline. Idempotent. */
  finish(): void {
    if (!this.#isOpen) return;
    this.#read();
    if (this.#tail !== '') this.#onLine(this.#tail);
    this.#isOpen = false;
    clearInterval(this.#timer);
    closeSync(this.#descriptor);
  }

  #read(): void {
    const buffer = Buffer.alloc(READ_BYTES);
    for (;;) {
      const size = readSync(this.#descriptor, buffer, 0, READ_BYTES, null);
      if (size === 0) return;
      this.#take(this.#decoder.write(buffer.subarray(0, size)));
    }
  }

  #take(text: string): void {
    this.#text += text;
    const lines = (this.#tail + text).split('\n');
    this.#tail = lines.pop() ?? '';
    for (const line of lines) this.#onLine(line);
  }
}
