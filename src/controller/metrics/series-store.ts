/** Values over time: a slot for each ten seconds of the last day, by key and field. */
export const SLOT_S = 10;
const SLOTS_PER_HOUR = 3_600 / SLOT_S;
const HOURS = 24;

/** One hour of one key. A column is there once a value other than 0 was written: most outcomes never occur. */
interface Hour {
  /** 1 where something was written, 0 values included */
  readonly written: Uint8Array;
  readonly columns: Map<string, Float32Array>;
}

/** One hour as it lies in a file. */
export interface HourRecord {
  readonly key: string;
  readonly hour: number;
  /** base64 */
  readonly written: string;
  readonly columns: Readonly<Record<string, string>>;
}

/**
 * Rings in memory. 200 keys with seven fields that are used take 48 MB, with fifteen 104 MB: four bytes a value.
 */
export class SeriesStore {
  readonly #hours = new Map<string, Map<number, Hour>>();

  static slotOf(atMs: number): number {
    return Math.floor(atMs / (SLOT_S * 1000));
  }

  get keys(): readonly string[] {
    return [...this.#hours.keys()];
  }

  write(key: string, slot: number, values: Readonly<Record<string, number>>): void {
    const hour = this.#hourFor(key, Math.floor(slot / SLOTS_PER_HOUR));
    const place = slot % SLOTS_PER_HOUR;
    hour.written[place] = 1;
    for (const [field, value] of Object.entries(values)) {
      let column = hour.columns.get(field);
      if (column === undefined && value === 0) continue;
      if (column === undefined) {
        column = new Float32Array(SLOTS_PER_HOUR);
        hour.columns.set(field, column);
      }
      column[place] = value;
    }
  }

  /** @returns null where nothing was written; NaN where that was the value */
  read(key: string, field: string, slot: number): number | null {
    const hour = this.#hours.get(key)?.get(Math.floor(slot / SLOTS_PER_HOUR));
    const place = slot % SLOTS_PER_HOUR;
    if (hour === undefined || hour.written[place] !== 1) return null;
    return hour.columns.get(field)?.[place] ?? 0;
  }

  /** Fields of a key that have ever been other than 0. */
  fieldsOf(key: string): ReadonlySet<string> {
    const hours = [...(this.#hours.get(key)?.values() ?? [])];
    return new Set(hours.flatMap(({ columns }) => [...columns.keys()]));
  }

  /** What is older than a day goes. */
  forget(nowSlot: number): void {
    const oldest = Math.floor(nowSlot / SLOTS_PER_HOUR) - HOURS;
    for (const [key, hours] of this.#hours) {
      for (const hour of hours.keys()) if (hour < oldest) hours.delete(hour);
      if (hours.size === 0) this.#hours.delete(key);
    }
  }

  *records(): Generator<HourRecord> {
    for (const [key, hours] of this.#hours) {
      for (const [hour, { written, columns }] of hours) {
        const encoded = [...columns].map(([field, column]) => [field, base64(column)]);
        yield { key, hour, written: base64(written), columns: Object.fromEntries(encoded) };
      }
    }
  }

  /** Takes in what `records` gave, in an earlier life. */
  restore({ key, hour, written, columns }: HourRecord): void {
    const known = this.#hourFor(key, hour);
    known.written.set(bytesOf(written).subarray(0, SLOTS_PER_HOUR));
    for (const [field, text] of Object.entries(columns)) {
      const bytes = bytesOf(text);
      const column = new Float32Array(SLOTS_PER_HOUR);
      const count = Math.min(SLOTS_PER_HOUR, Math.floor(bytes.length / 4));
      for (let place = 0; place < count; place += 1) column[place] = bytes.readFloatLE(place * 4);
      known.columns.set(field, column);
    }
  }

  #hourFor(key: string, hour: number): Hour {
    let hours = this.#hours.get(key);
    if (hours === undefined) {
      hours = new Map();
      this.#hours.set(key, hours);
    }
    let found = hours.get(hour);
    if (found === undefined) {
      found = { written: new Uint8Array(SLOTS_PER_HOUR), columns: new Map() };
      hours.set(hour, found);
    }
    return found;
  }
}

function base64(array: Uint8Array | Float32Array): string {
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString('base64');
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text, 'base64');
}
