/**
 * Columns of values, packed into one array of bytes: the width of each column, then its values. A column that says the same
 * all the time is one value; whole numbers take one or two bytes each; the rest four.
 */
export interface PackedHour {
  readonly fields: readonly string[];
  readonly bytes: Uint8Array;
}

/** Bytes a value; 0: one value, of four bytes, for all of the column. */
type Width = 0 | 1 | 2 | 4;

const MOST_OF = { 1: 0xff, 2: 0xffff } as const;

/**
 * @param columns all of the same length
 * @param written 1 where a value counts; the others come back as anything
 */
export function packed(columns: ReadonlyMap<string, Float32Array>, written: Uint8Array): PackedHour {
  const list = [...columns.values()];
  const widths = list.map((column) => widthOf(column, written));
  const sizes = widths.map((width) => sizeOf(width, written.length));
  const bytes = new Uint8Array(list.length + sizes.reduce((sum, size) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let place = list.length;
  list.forEach((column, index) => {
    const width = widths[index] ?? 4;
    bytes[index] = width;
    const values = width === 0 ? [column.find((_, at) => written[at] === 1) ?? 0] : column;
    for (const value of values) place = put(view, place, { width, value });
  });
  return { fields: [...columns.keys()], bytes };
}

/** @returns a column as it was, where it was written; null: there is none of that name */
export function unpacked({ fields, bytes }: PackedHour, field: string, length: number): Float32Array | null {
  const index = fields.indexOf(field);
  if (index < 0) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let place = fields.length;
  for (let before = 0; before < index; before += 1) place += sizeOf(widthAt(bytes, before), length);
  const width = widthAt(bytes, index);
  if (width === 0) return new Float32Array(length).fill(view.getFloat32(place, true));
  return Float32Array.from({ length }, (_, at) => get(view, place + at * width, width));
}

function widthOf(column: Float32Array, written: Uint8Array): Width {
  let [least, most, isWhole] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, true];
  for (let at = 0; at < column.length; at += 1) {
    const value = column[at] ?? 0;
    if (written[at] !== 1) continue;
    least = Math.min(least, value); // NaN stays
    most = Math.max(most, value);
    isWhole &&= Number.isInteger(value);
  }
  if (least === most || most === Number.NEGATIVE_INFINITY) return 0;
  // What was not written counts as 0 here: it has to fit as well.
  if (!isWhole || least < 0 || !column.every((value) => value >= 0 && value <= MOST_OF[2])) return 4;
  return column.every((value) => value <= MOST_OF[1]) ? 1 : 2;
}

function sizeOf(width: Width, length: number): number {
  return width === 0 ? 4 : width * length;
}

function widthAt(bytes: Uint8Array, index: number): Width {
  return (bytes[index] ?? 4) as Width;
}

function put(view: DataView, place: number, { width, value }: { width: Width; value: number }): number {
  if (width === 1) view.setUint8(place, value);
  else if (width === 2) view.setUint16(place, value, true);
  else view.setFloat32(place, value, true);
  return place + (width === 0 ? 4 : width);
}

function get(view: DataView, place: number, width: Width): number {
  if (width === 1) return view.getUint8(place);
  return width === 2 ? view.getUint16(place, true) : view.getFloat32(place, true);
}
