import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { seesSameDisk } from '../../src/cli/same-disk.ts';
import { sha256 } from '../../src/lib/hash.ts';

const folder = mkdtempSync(join(tmpdir(), 'modelserve-same-disk-'));
const path = join(folder, 'conf.ini');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A head on the same disk, before each of whose looks somebody saves, some times. */
function headWhileSaving(saves: number) {
  let left = saves;
  return {
    async sees(file: { readonly path: string; readonly sha256: string }): Promise<boolean> {
      if (left > 0) writeFileSync(path, `saved ${left}`);
      left -= 1;
      return sha256(readFileSync(file.path)) === file.sha256;
    },
  };
}

it('is not misled by saves in between', async () => {
  writeFileSync(path, 'as it was');
  expect(await seesSameDisk(headWhileSaving(0), path)).toBe(true);
  expect(await seesSameDisk(headWhileSaving(3), path)).toBe(true);
});

it('ends where saving does not', async () => {
  expect(await seesSameDisk(headWhileSaving(1_000), path)).toBe(false);
});

it('knows another disk at once', async () => {
  let asked = 0;
  const elsewhere = {
    async sees(): Promise<boolean> {
      asked += 1;
      return false;
    },
  };
  expect(await seesSameDisk(elsewhere, path)).toBe(false);
  expect(asked).toBe(1);
});
