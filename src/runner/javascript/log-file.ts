import { closeSync, fstatSync, openSync } from 'node:fs';
import { messageOf, ServeError } from '../../lib/errors.ts';
import { rotateByCopy } from '../../lib/rotate-by-copy.ts';
import { note, noteApart } from './note.ts';

export interface LogFileOptions {
  readonly path: string;
  /** rotated when it is larger */
  readonly maxBytes: number;
  /** the current file included; the older ones are `<path>.1` (the newest) and so on */
  readonly files: number;
  /** false: it has the runner's own lines alone, and what is printed is thrown away */
  readonly hasOutput: boolean;
}

const CHECK_INTERVAL_MS = 1_000;

/**
 * The replica's log: file descriptors 1 and 2 of the process, rotated by the process itself. Node cannot exchange an open descriptor (dup2), so
 * a full log is copied to `<path>.1` and emptied in place. Native libraries, child processes and Node's own last words before it
 * aborts so always go on in the current file; what another thread prints in the microseconds between the end of the copy and the
 * truncation is lost.
 */
export class LogFile {
  readonly #options: LogFileOptions;
  #descriptor = 1;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: LogFileOptions) {
    this.#options = options;
  }

  /**
   * Lets descriptors 1 and 2 lead to the log. To be called before the process has threads or has used its output: the two are
   * closed, and opening the file right after gives the lowest free numbers, the same ones.
   * @throws when the file cannot be opened; the output then is what it was
   */
  open(): void {
    const { path, hasOutput } = this.#options;
    const file = openSync(path, 'a', 0o600);
    for (const descriptor of [1, 2]) {
      closeSync(descriptor);
      const opened = openSync(hasOutput ? path : '/dev/null', 'a');
      if (opened !== descriptor) {
        const message = `descriptor ${descriptor} reopened as ${opened}: was standard input closed? Start the runner with one`;
        throw new ServeError(message, { code: 'LOG_NOT_OPENED' });
      }
    }
    if (hasOutput) closeSync(file);
    else {
      this.#descriptor = file;
      noteApart(file);
    }
  }

  /** Where the runner's own lines go where they are all that it has; null: among the output. */
  get own(): number | null {
    return this.#descriptor === 1 ? null : this.#descriptor;
  }

  /** Looks at its size from now on, every second. */
  start(): void {
    this.#timer ??= setInterval(() => this.rotateIfFull(), CHECK_INTERVAL_MS);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** What fails here (a full disk, a folder that has gone) leaves the current file in use. */
  rotateIfFull(): void {
    try {
      if (fstatSync(this.#descriptor).size <= this.#options.maxBytes) return;
      rotateByCopy(this.#options.path, this.#options.files);
    } catch (error) {
      note(`the log ${this.#options.path} could not be rotated: ${messageOf(error)}`);
    }
  }
}
