import { closeSync, fstatSync, mkdirSync, openSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

export interface RotationRules {
  /** a file that has so much is renamed; the next look may find some more in it */
  readonly maxBytes: number;
  /** the current file included; the older ones are `<path>.1` (the newest) and so on */
  readonly files: number;
}

/** What a component of the framework may take of the disk: 50 MB. */
export const FRAMEWORK_LOG: RotationRules = { maxBytes: 10 * 1024 * 1024, files: 5 };

const LOOK_MS = 1_000;

/**
 * Renames a full file, and those before it, so that a new one can begin. Several processes may write the same file and
 * call this: whoever finds it full renames it, and the others see that the name is another file's. Two that do so within
 * the same microseconds make one file too many, which costs no more than the oldest.
 * @returns whether `path` is not the file any more that the caller has open, and has to be opened anew
 */
export function rotate(path: string, openInode: number, rules: RotationRules): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined || found.ino !== openInode) return true;
  if (found.size < rules.maxBytes) return false;
  if (rules.files === 1) rmSync(path, { force: true });
  for (let age = rules.files - 1; age > 0; age -= 1) {
    const newer = age === 1 ? path : `${path}.${age - 1}`;
    if (statSync(newer, { throwIfNoEntry: false }) !== undefined) renameSync(newer, `${path}.${age}`);
  }
  return true;
}

/**
 * A log file within bounds, written at once: a process that is killed has said everything. Each line is one system call
 * on a file opened for appending, so that several processes may share it. A line that cannot be written (a full disk, a
 * folder that is gone) is lost, and nothing else.
 */
export class RotatingFile {
  readonly #path: string;
  readonly #rules: RotationRules;
  #file: number | null = null;
  #inode = 0;
  #lookedMs = 0;

  /** @throws where the file cannot be opened */
  constructor(path: string, rules: RotationRules = FRAMEWORK_LOG) {
    this.#path = path;
    this.#rules = rules;
    this.#open();
  }

  write(line: string): void {
    try {
      if (performance.now() - this.#lookedMs > LOOK_MS) this.#look();
      if (this.#file === null) this.#open();
      writeSync(this.#file ?? 2, line);
    } catch {
      // there is no better place to say so
    }
  }

  #look(): void {
    this.#lookedMs = performance.now();
    if (!rotate(this.#path, this.#inode, this.#rules)) return;
    const before = this.#file;
    this.#file = null;
    if (before !== null) closeSync(before);
  }

  #open(): void {
    mkdirSync(dirname(this.#path), { recursive: true });
    this.#file = openSync(this.#path, 'a', 0o600);
    this.#inode = fstatSync(this.#file).ino;
  }
}
