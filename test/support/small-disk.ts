import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** Whether this user may mount; says why tests are skipped where not. */
export function canMount(what: string): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'modelserve-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], { stdio: 'ignore' });
    execFileSync('umount', [folder], { stdio: 'ignore' });
    return true;
  } catch {
    process.stdout.write(`skipped: ${what}: mounting a small disk needs root and its mount right\n`);
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A disk of this size of the running test, gone with it. */
export function smallDisk(sizeMib: number): string {
  const folder = mkdtempSync(join(tmpdir(), 'modelserve-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMib}m`, 'tmpfs', folder]);
  onTestFinished(() => {
    execFileSync('umount', ['-l', folder]);
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}
