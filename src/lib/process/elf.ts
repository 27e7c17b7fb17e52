import { type FileHandle, open } from 'node:fs/promises';

/** What a 64-bit ELF file of this byte order says of how it is loaded. */
export interface ElfProgram {
  /** number of the processor architecture */
  readonly machine: number;
  /** path of the dynamic loader; null: it is linked statically and loads no libraries */
  readonly loader: string | null;
}

const HEADER_BYTES = 64;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const PT_INTERP = 3;
const MOST_HEADERS = 256;

/** @returns null for what is no such file: a script, another system's program */
export async function readElf(path: string): Promise<ElfProgram | null> {
  const file = await open(path, 'r');
  try {
    const header = await bytesAt(file, 0, HEADER_BYTES);
    const isElf = header.length === HEADER_BYTES && header.readUInt32BE(0) === 0x7f454c46;
    if (!isElf || header[4] !== CLASS_64 || header[5] !== LITTLE_ENDIAN) return null;
    return { machine: header.readUInt16LE(18), loader: await loaderIn(file, header) };
  } finally {
    await file.close();
  }
}

async function loaderIn(file: FileHandle, header: Buffer): Promise<string | null> {
  const [entryBytes, count] = [header.readUInt16LE(54), Math.min(header.readUInt16LE(56), MOST_HEADERS)];
  const table = await bytesAt(file, Number(header.readBigUInt64LE(32)), entryBytes * count);
  for (let at = 0; at + 56 <= table.length; at += Math.max(entryBytes, 56)) {
    if (table.readUInt32LE(at) !== PT_INTERP) continue;
    const length = Math.min(Number(table.readBigUInt64LE(at + 32)), 4_096);
    const name = await bytesAt(file, Number(table.readBigUInt64LE(at + 8)), length);
    return name.toString('latin1').replace(/\0.*$/s, '');
  }
  return null;
}

async function bytesAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}
