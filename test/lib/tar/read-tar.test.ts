import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type TarEntry, TarReader } from '../../../src/lib/tar/read-tar.ts';
import { tarOf } from '../../models/oci/tar-bytes.ts';
import { tempDir } from '../../support/temp-dir.ts';

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex').slice(0, 12);
const LONG = `${'long-folder-name/'.repeat(12)}${'n'.repeat(90)}.bin`;

/** Reads a tar in pieces of the sizes given, again and again. */
async function read(tar: Buffer, sizes: readonly number[] = [tar.length || 1]) {
  const seen: (TarEntry & { content: string | null })[] = [];
  const reader = new TarReader(async (entry) => {
    const chunks: Buffer[] = [];
    const one = { ...entry, content: null as string | null };
    seen.push(one);
    if (entry.kind !== 'file') return null;
    return {
      write: async (bytes) => void chunks.push(Buffer.from(bytes)),
      end: async () => {
        one.content = sha(Buffer.concat(chunks));
      },
    };
  });
  for (let at = 0, turn = 0; at < tar.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    await reader.write(tar.subarray(at, at + size));
    at += size;
  }
  reader.end();
  return seen;
}

function folderOfAllKinds(): string {
  const dir = tempDir();
  mkdirSync(join(dir, 'm/long-folder-name'), { recursive: true });
  writeFileSync(join(dir, 'm/empty'), '');
  writeFileSync(join(dir, 'm/weights.bin'), randomBytes(70_001));
  writeFileSync(join(dir, 'm/größe 模型.txt'), 'ü');
  mkdirSync(join(dir, 'm', LONG, '..'), { recursive: true });
  writeFileSync(join(dir, 'm', LONG), 'long');
  linkSync(join(dir, 'm/weights.bin'), join(dir, 'm/zz-again.bin'));
  symlinkSync(`${'x/'.repeat(80)}target`, join(dir, 'm/zz-symlink'));
  return dir;
}

function packed(dir: string, format: string): Buffer {
  execFileSync('tar', [`--format=${format}`, '--sort=name', '-cf', 'all.tar', 'm'], { cwd: dir });
  return readFileSync(join(dir, 'all.tar'));
}

describe('TarReader', () => {
  it.each(['gnu', 'pax'])('reads what tar writes in its format %s', async (format) => {
    const dir = folderOfAllKinds();
    const seen = await read(packed(dir, format));
    const files = seen.filter(({ kind }) => kind === 'file');
    expect(files.map(({ name, content }) => [name, content]).sort()).toEqual(
      ['m/empty', `m/${LONG}`, 'm/größe 模型.txt', 'm/weights.bin']
        .map((name) => [name, sha(readFileSync(join(dir, name)))])
        .sort(),
    );
    const others = seen.filter(({ kind }) => kind === 'link' || kind === 'symlink');
    expect(others.map(({ kind, name, target, sizeBytes }) => [kind, name, target, sizeBytes])).toEqual([
      ['link', 'm/zz-again.bin', 'm/weights.bin', 0],
      ['symlink', 'm/zz-symlink', `${'x/'.repeat(80)}target`, 0],
    ]);
  });

  it('reads the same in whatever pieces it comes', async () => {
    const tar = packed(folderOfAllKinds(), 'pax');
    const whole = await read(tar);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 1, maxLength: 5 }),
        async (sizes) => {
          expect(await read(tar, sizes)).toEqual(whole);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('does not miss the end, nor the padding of the last file', async () => {
    const tar = tarOf({ name: 'a', content: 'one' }, { name: 'b', content: 'two' });
    const whole = await read(tar);
    expect(await read(tar.subarray(0, tar.length - 1024))).toEqual(whole);
    expect(await read(tar.subarray(0, tar.length - 1024 - 509))).toEqual(whole);
  });

  it('says that it is cut off, wherever else it ends', async () => {
    const tar = tarOf({ name: 'a', content: 'some bytes' });
    for (const end of [1, 511, 513, 521]) {
      await expect(read(tar.subarray(0, end)), `at ${end}`).rejects.toThrow(/ends in the middle of an entry/);
    }
  });

  it('reads sizes beyond eight gigabytes', async () => {
    const sizes: number[] = [];
    const tar = tarOf({ name: 'huge' });
    const sizeBytes = 3 * 1024 ** 4 + 5;
    tar.writeUInt32BE(0x80000000, 124);
    tar.writeBigUInt64BE(BigInt(sizeBytes), 128);
    tar.write('        ', 148);
    const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    const reader = new TarReader(async (entry) => {
      sizes.push(entry.sizeBytes);
      return null;
    });
    await reader.write(tar.subarray(0, 512));
    expect(sizes).toEqual([sizeBytes]);
    expect(() => reader.end()).toThrow(/ends in the middle/);
  });

  it('refuses what is no tar', async () => {
    await expect(read(randomBytes(2_000))).rejects.toThrow(/no tar that can be read/);
    const tar = tarOf({ name: 'a', content: 'x' });
    tar[0] = 0x62; // another name than the check sum is of
    await expect(read(tar)).rejects.toThrow(/check sum is wrong/);
  });
});
