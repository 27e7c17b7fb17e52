import { ServeError } from '../errors.ts';

/** What a tar says of one of its entries. */
export interface TarEntry {
  /** as it is written there: nothing has been made of `..` or a slash at the start */
  readonly name: string;
  readonly kind: 'file' | 'folder' | 'symlink' | 'link' | 'other';
  /** of a file */
  readonly sizeBytes: number;
  /** of a symlink or a hard link: what it leads to, as written */
  readonly target: string;
}

/** Takes the bytes of a file as they come. */
export interface TarFile {
  write(bytes: Buffer): Promise<void>;
  /** all bytes have come */
  end(): Promise<void>;
}

/** Something that is no tar, or one that is cut off. */
class TarError extends ServeError<{ readonly code: 'TAR_BROKEN' }> {
  override readonly name = 'TarError';
}

const BLOCK = 512;
/** Long names and extended headers; far more than any path needs. */
const MAX_HEADER_BYTES = 1024 ** 2;

interface Body {
  readonly file: TarFile | null;
  /** bytes of the file that are still to come */
  left: number;
  /** bytes up to the next block */
  padding: number;
}

/**
 * Reads a tar (ustar, pax, GNU's long names) as its bytes come. What archives that are written in a hurry lack is not
 * missed: the blocks of zeros at the end, and the padding of the last file.
 */
export class TarReader {
  readonly #onEntry: (entry: TarEntry) => Promise<TarFile | null>;
  readonly #header = Buffer.alloc(BLOCK);
  #headerBytes = 0;
  #body: Body | null = null;
  #isOver = false;
  /** what headers before an entry say of it */
  #next: { name?: string; target?: string; sizeBytes?: number } = {};

  /** @param onEntry called for each entry in order; null: nobody wants its bytes */
  constructor(onEntry: (entry: TarEntry) => Promise<TarFile | null>) {
    this.#onEntry = onEntry;
  }

  /** @throws TarError; what `onEntry` and the files throw */
  async write(bytes: Buffer): Promise<void> {
    let at = 0;
    while (at < bytes.length && !this.#isOver) {
      at += this.#body === null ? await this.#takeHeader(bytes, at) : await this.#takeBody(bytes, at);
    }
  }

  /**
   * There are no more bytes.
   * @param isEndNeeded where nothing else tells that all of it has come
   * @throws TarError when there should be
   */
  end(isEndNeeded = false): void {
    if (this.#isOver) return;
    const isCut = this.#body === null ? this.#headerBytes > 0 : this.#body.left > 0;
    if (isCut) throw broken('it ends in the middle of an entry');
    if (isEndNeeded) throw broken('the block of zeros at its end is missing: it may have been cut off');
  }

  async #takeHeader(bytes: Buffer, from: number): Promise<number> {
    const taken = bytes.copy(this.#header, this.#headerBytes, from, from + BLOCK - this.#headerBytes);
    this.#headerBytes += taken;
    if (this.#headerBytes < BLOCK) return taken;
    this.#headerBytes = 0;
    if (this.#header.every((byte) => byte === 0)) this.#isOver = true;
    else await this.#begin(this.#header);
    return taken;
  }

  async #takeBody(bytes: Buffer, from: number): Promise<number> {
    const body = this.#body;
    if (body === null) return 0;
    const wanted = bytes.subarray(from, from + body.left);
    if (wanted.length > 0) {
      await body.file?.write(wanted);
      body.left -= wanted.length;
      if (body.left === 0) await body.file?.end();
    }
    const skipped = body.left === 0 ? Math.min(body.padding, bytes.length - from - wanted.length) : 0;
    body.padding -= skipped;
    if (body.left === 0 && body.padding === 0) this.#body = null;
    return wanted.length + skipped;
  }

  async #begin(header: Buffer): Promise<void> {
    checkSum(header);
    const type = String.fromCharCode(header[156] ?? 0);
    const sizeBytes = numberAt(header, 124, 12);
    if (type === 'x' || type === 'g' || type === 'L' || type === 'K')
      return this.#beginExtra(type, sizeBytes);
    const next = this.#next;
    this.#next = {};
    const kind = KINDS[type] ?? 'other';
    // Links, folders and devices have no bytes, whatever their header says; readers agree on that.
    const isHeaderOnly = '123456'.includes(type);
    const entry: TarEntry = {
      name: next.name ?? nameIn(header),
      kind,
      sizeBytes: isHeaderOnly ? 0 : (next.sizeBytes ?? sizeBytes),
      target: next.target ?? textAt(header, 157, 100),
    };
    const file = await this.#onEntry(entry);
    if (entry.sizeBytes === 0) await file?.end();
    else this.#expect(entry.sizeBytes, file);
  }

  #beginExtra(type: string, sizeBytes: number): void {
    if (sizeBytes > MAX_HEADER_BYTES) throw broken(`a header of ${sizeBytes} bytes`);
    if (sizeBytes === 0) return;
    const chunks: Buffer[] = [];
    this.#expect(sizeBytes, {
      write: async (bytes) => void chunks.push(Buffer.from(bytes)),
      end: async () => this.#note(type, Buffer.concat(chunks)),
    });
  }

  #note(type: string, content: Buffer): void {
    if (type === 'L') this.#next.name = textAt(content, 0, content.length);
    if (type === 'K') this.#next.target = textAt(content, 0, content.length);
    if (type !== 'x') return; // what holds for the whole archive ('g') are comments
    for (const [key, value] of recordsIn(content)) {
      if (key.startsWith('GNU.sparse.')) throw broken('a file with holes (GNU sparse)');
      if (key === 'path') this.#next.name = value;
      if (key === 'linkpath') this.#next.target = value;
      if (key === 'size') this.#next.sizeBytes = checkedSize(Number(value));
    }
  }

  #expect(sizeBytes: number, file: TarFile | null): void {
    this.#body = { file, left: sizeBytes, padding: (BLOCK - (sizeBytes % BLOCK)) % BLOCK };
  }
}

const KINDS: Readonly<Record<string, TarEntry['kind']>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'link',
  '2': 'symlink',
  '5': 'folder',
};

function checkSum(header: Buffer): void {
  let sum = 8 * 0x20; // the field itself counts as spaces
  for (let at = 0; at < BLOCK; at += 1) if (at < 148 || at >= 156) sum += header[at] ?? 0;
  if (sum !== numberAt(header, 148, 8)) throw broken('a header whose check sum is wrong');
}

/** Octal digits, or where those do not suffice (GNU) the number itself with its highest bit set. */
function numberAt(header: Buffer, from: number, length: number): number {
  const field = header.subarray(from, from + length);
  if (((field[0] ?? 0) & 0x80) !== 0) {
    const value = BigInt(`0x${field.toString('hex')}`) - (0x80n << BigInt(8 * (length - 1)));
    return checkedSize(Number(value));
  }
  const digits = textAt(field, 0, length).trim();
  if (!/^[0-7]*$/.test(digits)) throw broken('a header with a number that is none');
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

function checkedSize(sizeBytes: number): number {
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) throw broken('an entry of an impossible size');
  return sizeBytes;
}

function nameIn(header: Buffer): string {
  const name = textAt(header, 0, 100);
  const isUstar = header.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isUstar ? textAt(header, 345, 155) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

/** Up to the first zero byte. What is not UTF-8 has U+FFFD in it. */
function textAt(bytes: Buffer, from: number, length: number): string {
  const field = bytes.subarray(from, from + length);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? field.length : end);
}

/** `<length> <key>=<value>\n`, one after the other; the length counts all of it. */
function* recordsIn(content: Buffer): Generator<readonly [key: string, value: string]> {
  for (let at = 0; at < content.length; ) {
    const space = content.indexOf(0x20, at);
    const length = space < 0 ? 0 : Number(content.toString('latin1', at, space));
    const end = at + length;
    const record = content.toString('utf8', space + 1, end - 1);
    const equals = record.indexOf('=');
    if (!(length > 0) || end > content.length || equals < 0) throw broken('an extended header that is none');
    yield [record.slice(0, equals), record.slice(equals + 1)];
    at = end;
  }
}

function broken(what: string): TarError {
  return new TarError(`no tar that can be read: ${what}`, { code: 'TAR_BROKEN' });
}
