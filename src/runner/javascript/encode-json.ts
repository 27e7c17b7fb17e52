/** A result cannot be JSON; the message names the path to the value, such as `result.scores[3]`. */
export class UnencodableError extends Error {
  override readonly name = 'UnencodableError';
}

/** Where a value lies: a chain from it to the root, so that the path costs nothing until it is needed. */
interface Place {
  readonly value: object;
  readonly key: string | number;
  readonly parent: Place | null;
}

/**
 * JSON text of what a backend answered. Beyond JSON.stringify: typed arrays become arrays, a Map an object, a Set an array, an Error
 * its text; and what JSON.stringify would silently turn into null or drop is an error.
 * @throws UnencodableError
 */
export function encodeJson(result: unknown): string {
  return JSON.stringify(plain(result, 'result', null)) ?? 'null';
}

/** The value itself where it is JSON already, else a copy that is. */
function plain(value: unknown, key: string | number, parent: Place | null): unknown {
  if (value === null) return null;
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      if (!Number.isFinite(value)) throw unencodable(String(value), key, parent);
      return value;
    case 'undefined':
      if (parent === null) return null;
      throw unencodable('undefined', key, parent);
    case 'object':
      return plainObject(value, key, parent);
    default:
      throw unencodable(`a ${typeof value}`, key, parent);
  }
}

function plainObject(value: object, key: string | number, parent: Place | null): unknown {
  const place: Place = { value, key, parent };
  refuseCycle(place);
  if (Array.isArray(value)) return plainItems(value, place);
  if (ArrayBuffer.isView(value)) return plainItems(itemsOf(value), place);
  if (value instanceof Set) return plainItems([...value], place);
  if (value instanceof Map) return plainEntries(fromMap(value, key, parent), place);
  if (value instanceof Error) return String(value);
  if (value instanceof Date && Number.isNaN(value.getTime()))
    throw unencodable('an invalid Date', key, parent);
  const json = 'toJSON' in value && typeof value.toJSON === 'function' ? value.toJSON(String(key)) : value;
  return json === value ? plainEntries(value, place) : plain(json, key, parent);
}

function refuseCycle({ value, key, parent }: Place): void {
  for (let above = parent; above !== null; above = above.parent) {
    if (above.value === value) throw unencodable('an object that contains itself', key, parent);
  }
}

function itemsOf(view: ArrayBufferView): readonly unknown[] {
  if (view instanceof DataView) return [...new Uint8Array(view.buffer, view.byteOffset, view.byteLength)];
  return Array.from(view as unknown as ArrayLike<unknown>);
}

function plainItems(items: readonly unknown[], place: Place): unknown {
  let copy: unknown[] | null = null;
  for (let index = 0; index < items.length; index += 1) {
    const item = items[index];
    const encoded = plain(item, index, place);
    if (encoded !== item && copy === null) copy = items.slice(0, index);
    copy?.push(encoded);
  }
  return copy ?? items;
}

/** Own enumerable properties; undefined ones are left out, as in JSON.stringify. */
function plainEntries(object: object, place: Place): unknown {
  const entries = Object.entries(object);
  let changed = false;
  for (const entry of entries) {
    if (entry[1] === undefined) continue;
    const encoded = plain(entry[1], entry[0], place);
    changed ||= encoded !== entry[1];
    entry[1] = encoded;
  }
  return changed ? Object.fromEntries(entries) : object;
}

function fromMap(map: Map<unknown, unknown>, key: string | number, parent: Place | null): object {
  for (const name of map.keys()) {
    if (typeof name !== 'string' && typeof name !== 'number') {
      throw unencodable(`a Map whose keys are not strings (${typeof name})`, key, parent);
    }
  }
  return Object.fromEntries(map);
}

function unencodable(what: string, key: string | number, parent: Place | null): UnencodableError {
  return new UnencodableError(
    `${pathTo(key, parent)} is ${what}, which JSON cannot carry: convert it in the backend`,
  );
}

function pathTo(key: string | number, parent: Place | null): string {
  if (parent === null) return String(key);
  const above = pathTo(parent.key, parent.parent);
  if (typeof key === 'number') return `${above}[${key}]`;
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `${above}.${key}` : `${above}[${JSON.stringify(key)}]`;
}
