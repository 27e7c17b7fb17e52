import { copyFileSync, existsSync, renameSync, rmSync, truncateSync } from 'node:fs';

/**
 * Empties a file that somebody else has open for appending, and keeps what it held: `<path>.1` is the newest of the older
 * files. What is written in the microseconds between copy and truncation is lost.
 * @param files how many are kept, the current one included
 */
export function rotateByCopy(path: string, files: number): void {
  for (let number = files - 1; number > 1; number -= 1) {
    const newer = `${path}.${number - 1}`;
    if (existsSync(newer)) renameSync(newer, `${path}.${number}`);
  }
  rmSync(`${path}.${files}`, { force: true });
  if (files > 1) copyFileSync(path, `${path}.1`);
  truncateSync(path);
}
