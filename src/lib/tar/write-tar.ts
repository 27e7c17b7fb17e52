/** What goes into a tar. Owner, rights and times are always the same, so that equal files give equal bytes. */
export interface TarItem {
  /** with `/` between segments, none at either end */
  readonly path: string;
  readonly kind: 'file' | 'folder';
  /** of a file */
  readonly sizeBytes: number;
}

const BLOCK = 512;
/** The most that eleven octal digits say. */
const MAX_OCTAL = 0o77777777777;

/** What comes before the bytes of an item; after them comes `tarPadding`. */
export function tarHeader(item: TarItem): Buffer {
  const path = item.kind === 'folder' ? `${item.path}/` : item.path;
  const isPlain = /^[\x20-\x7e]{1,100}$/.test(path) && item.sizeBytes <= MAX_OCTAL;
  if (isPlain) return block(path, item.kind === 'folder' ? '5' : '0', item);
  const records =
    record('path', path) + (item.sizeBytes > MAX_OCTAL ? record('size', `${item.sizeBytes}`) : '');
  const content = Buffer.from(records);
  return Buffer.concat([
    block('pax-header', 'x', { ...item, kind: 'file', sizeBytes: content.length }),
    content,
    tarPadding(content.length),
    block('pax-entry', item.kind === 'folder' ? '5' : '0', {
      ...item,
      sizeBytes: Math.min(item.sizeBytes, MAX_OCTAL),
    }),
  ]);
}

/** Zeros up to the next block. */
export function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc((BLOCK - (sizeBytes % BLOCK)) % BLOCK);
}

/** What every tar ends with. */
export const TAR_END: Buffer = Buffer.alloc(2 * BLOCK);

function block(name: string, type: string, { kind, sizeBytes }: TarItem): Buffer {
  const header = Buffer.alloc(BLOCK);
  header.write(name, 0, 'latin1');
  const mode = kind === 'folder' ? 0o755 : 0o644;
  for (const [at, value, digits] of [
    [100, mode, 7],
    [108, 0, 7],
    [116, 0, 7],
    [124, sizeBytes, 11],
    [136, 0, 11],
  ] as const) {
    header.write(value.toString(8).padStart(digits, '0'), at, 'latin1');
  }
  header.write(`        ${type}`, 148, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

/** Its length counts itself. */
function record(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const bytes = Buffer.byteLength(rest);
  let length = bytes + String(bytes).length;
  if (String(length).length > String(bytes).length) length = bytes + String(length).length;
  return `${length}${rest}`;
}
