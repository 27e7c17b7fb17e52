/**
 * Columns of values, packed into one array of bytes: the form of each column, then its values. A column that says the same
 * all the time is one value; whole numbers take one or two bytes each, coarse ones two; the rest four.
 */
export interface PackedHour {
  readonly fields: readonly string[];
  readonly bytes: Uint8Array;
}

/** How a column is written: one value of four bytes for all of it; or each in one byte, in two, the upper two of four, in four. */
type Form = 'same' | 'byte' | 'word' | 'upper' | 'float';

const FORMS: readonly Form[] = ['same', 'byte', 'word', 'upper', 'float'];
const VALUE_BYTES: Readonly<Record<Form, number>> = { same: 0, byte: 1, word: 2, upper: 2, float: 4 };
const MOST_OF = { byte: 0xff, word: 0xffff } as const;

/** A number, and its bits. */
const FLOAT = new Float32Array(1);
const BITS = new Uint32Array(FLOAT.buffer);

/**
 * The nearest number whose lower 16 of 32 bits are 0, which takes two bytes: at most 1/256 off. For what is not known any
 * better, such as percentiles of a histogram.
 */
export function coarse(value: number): number {
  FLOAT[0] = value;
  BITS[0] = ((BITS[0] ?? 0) + 0x8000) & 0xffff_0000;
  return FLOAT[0];
}

/**
 * @param columns all of the same length
 * @param written 1 where a value counts; the others come back as anything
 */
export function packed(columns: ReadonlyMap<string, Float32Array>, written: Uint8Array): PackedHour {
  const list = [...columns.values()].map((column) => {
    const form = formOf(column, written);
    return { form, bytes: bytesOf(column, form, written) };
  });
  const bytes = new Uint8Array(list.reduce((sum, column) => sum + column.bytes.length, list.length));
  let place = list.length;
  list.forEach((column, index) => {
    bytes[index] = FORMS.indexOf(column.form);
    bytes.set(column.bytes, place);
    place += column.bytes.length;
  });
  return { fields: [...columns.keys()], bytes };
}

/** @returns a column as it was, where it was written; null: there is none of that name */
export function unpacked({ fields, bytes }: PackedHour, field: string, length: number): Float32Array | null {
  const index = fields.indexOf(field);
  if (index < 0) return null;
  let place = fields.length;
  for (let before = 0; before < index; before += 1) place += sizeOf(formAt(bytes, before), length);
  const form = formAt(bytes, index);
  return valuesOf(bytes.slice(place, place + sizeOf(form, length)), form, length);
}

function formOf(column: Float32Array, written: Uint8Array): Form {
  let [least, most, isWhole] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, true];
  for (let at = 0; at < column.length; at += 1) {
    const value = column[at] ?? 0;
    if (written[at] !== 1) continue;
    least = Math.min(least, value); // NaN stays
    most = Math.max(most, value);
    isWhole &&= Number.isInteger(value);
  }
  if (least === most || most === Number.NEGATIVE_INFINITY) return 'same';
  // What was not written counts as 0 here: it has to fit as well.
  const fits = (limit: number): boolean => column.every((value) => value >= 0 && value <= limit);
  if (isWhole && fits(MOST_OF.byte)) return 'byte';
  if (isWhole && fits(MOST_OF.word)) return 'word';
  return bitsOf(column).every((bits) => (bits & 0xffff) === 0) ? 'upper' : 'float';
}

function sizeOf(form: Form, length: number): number {
  return form === 'same' ? 4 : VALUE_BYTES[form] * length;
}

function formAt(bytes: Uint8Array, index: number): Form {
  return FORMS[bytes[index] ?? -1] ?? 'float';
}

function bytesOf(column: Float32Array, form: Form, written: Uint8Array): Uint8Array {
  switch (form) {
    case 'same':
      return inBytes(Float32Array.of(column.find((_, at) => written[at] === 1) ?? 0));
    case 'byte':
      return new Uint8Array(column);
    case 'word':
      return inBytes(new Uint16Array(column));
    case 'upper':
      return inBytes(new Uint16Array(bitsOf(column).map((bits) => bits >>> 16)));
    case 'float':
      return inBytes(column);
  }
}

/** @param bytes at the beginning of their buffer, which wider values need */
function valuesOf(bytes: Uint8Array, form: Form, length: number): Float32Array {
  switch (form) {
    case 'same':
      return new Float32Array(length).fill(new Float32Array(bytes.buffer)[0] ?? 0);
    case 'byte':
      return new Float32Array(bytes);
    case 'word':
      return new Float32Array(new Uint16Array(bytes.buffer));
    case 'upper':
      return new Float32Array(
        new Uint32Array(new Uint16Array(bytes.buffer)).map((bits) => bits << 16).buffer,
      );
    case 'float':
      return new Float32Array(bytes.buffer);
  }
}

function bitsOf(column: Float32Array): Uint32Array {
  return new Uint32Array(column.buffer, column.byteOffset, column.length);
}

function inBytes({ buffer, byteOffset, byteLength }: Float32Array | Uint16Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
