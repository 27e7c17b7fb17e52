/** An entry of a tar that a test makes, honest or not. */
export interface TarPart {
  readonly name: string;
  /** `0` file, `1` hard link, `2` symlink, `3` device, `5` folder */
  readonly type?: string;
  readonly content?: string | Buffer;
  readonly target?: string;
}

/** A tar of these entries, as simple as possible. */
export function tarOf(...parts: readonly TarPart[]): Buffer {
  const blocks = parts.flatMap(({ name, type = '0', content = '', target = '' }) => {
    const bytes = Buffer.from(content);
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write('0000644\0', 100);
    header.write(bytes.length.toString(8).padStart(11, '0'), 124);
    header.write(`        ${type}`, 148);
    header.write(target, 157);
    header.write('ustar\x0000', 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    return [header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}
