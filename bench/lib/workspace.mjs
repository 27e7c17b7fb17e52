// What a run has to take back, however it ends: processes of contestants and folders.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A part of a run with its own processes and folders; the whole run ends all parts that are open. */
export class Workspace {
  static #open = new Set();
  #running = [];
  #folders = [];
  #hasEnded = false;

  constructor() {
    Workspace.#open.add(this);
  }

  /** Ends what every part still has: for a run that is interrupted. */
  static async endAll() {
    await Promise.all([...Workspace.#open].map((one) => one.end()));
  }

  /**
   * @param {string} [parent]
   * @returns {string} a folder that is removed at the end, when nothing runs any more that could write into it
   */
  newFolder(parent = tmpdir()) {
    const folder = mkdtempSync(join(parent, 'modelserve-bench-'));
    this.#folders.push(folder);
    return folder;
  }

  /** @param {{stop: () => Promise<void>}} running is stopped at the end, or at once where that has come already */
  own(running) {
    if (this.#hasEnded) void running.stop();
    else this.#running.push(running);
  }

  async end() {
    this.#hasEnded = true;
    Workspace.#open.delete(this);
    await Promise.all(this.#running.splice(0).map((one) => one.stop()));
    for (const folder of this.#folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  }
}
