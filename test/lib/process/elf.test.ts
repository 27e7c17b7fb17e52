import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { readElf } from '../../../src/lib/process/elf.ts';

const folder = mkdtempSync(join(tmpdir(), 'modelserve-elf-'));
afterAll(() => rmSync(folder, { recursive: true }));

const X86_64 = 62;
const PT_LOAD = 1;
const PT_INTERP = 3;
const LOADER = '/lib64/ld-linux-x86-64.so.2';

interface Shape {
  readonly is64?: boolean;
  readonly isLittle?: boolean;
  readonly type?: 'executable' | 'shared';
  readonly headers?: readonly number[];
  /** of one program header: a later format may have more than 56 bytes */
  readonly entryBytes?: number;
}

/** The beginning of a program as linkers write it. */
function elf({ is64 = true, isLittle = true, type = 'shared', ...rest }: Shape = {}): Buffer {
  const { headers = [PT_LOAD, PT_INTERP], entryBytes = 56 } = rest;
  const header = Buffer.alloc(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, isLittle ? 1 : 2, 1]);
  header.writeUInt16LE(type === 'executable' ? 2 : 3, 16);
  header.writeUInt16LE(X86_64, 18);
  header.writeBigUInt64LE(64n, 32);
  header.writeUInt16LE(entryBytes, 54);
  header.writeUInt16LE(headers.length, 56);
  const nameAt = 64 + headers.length * entryBytes;
  const entries = headers.map((kind) => {
    const entry = Buffer.alloc(entryBytes);
    entry.writeUInt32LE(kind, 0);
    entry.writeBigUInt64LE(BigInt(nameAt), 8);
    entry.writeBigUInt64LE(BigInt(LOADER.length + 1), 32);
    return entry;
  });
  return Buffer.concat([header, ...entries, Buffer.from(`${LOADER}\0more`)]);
}

async function read(bytes: Buffer | string) {
  const path = join(folder, 'program');
  writeFileSync(path, bytes);
  return await readElf(path);
}

it.each<[string, Shape, string | null]>([
  ['a program at a fixed address', { type: 'executable' }, LOADER],
  ['one that may lie anywhere', {}, LOADER],
  ['larger headers than today', { entryBytes: 64 }, LOADER],
  ['a static program', { type: 'executable', headers: [PT_LOAD, PT_LOAD] }, null],
  ['a static program that may lie anywhere', { headers: [PT_LOAD] }, null],
  ['no headers at all', { headers: [] }, null],
])('reads how it is loaded: %s', async (_, shape, loader) => {
  expect(await read(elf(shape))).toEqual({ machine: X86_64, loader });
});

it.each<[string, Buffer | string]>([
  ['a script', '#!/usr/bin/env python3\nprint("a line, so that it is longer than a header would be")\n'],
  ['an empty file', ''],
  ['32 bits', elf({ is64: false })],
  ['the other byte order', elf({ isLittle: false })],
  ['a header that was cut off', elf().subarray(0, 63)],
  ['something else', Buffer.alloc(200, 'MZ')],
])('is no program of this machine: %s', async (_, bytes) => {
  expect(await read(bytes)).toBeNull();
});

it.each<[string, number]>([
  ['after its header', 64],
  ['within the program headers', 100],
  ['before the name of its loader', 64 + 2 * 56],
])('takes what was cut off for static, which is waited for: %s', async (_, length) => {
  expect(await read(elf().subarray(0, length))).toMatchObject({ machine: X86_64 });
  expect((await read(elf().subarray(0, length)))?.loader || null).toBeNull();
});

it('reads the program that runs this', async () => {
  expect(await readElf(process.execPath)).toMatchObject({ loader: expect.stringMatching(/ld.*\.so/) });
});

it('says what it cannot open', async () => {
  await expect(readElf(join(folder, 'none'))).rejects.toThrow('ENOENT');
});
