import type { StreamLayout } from './stream-layout.ts';

export type Chunks = AsyncIterator<unknown> | Iterator<unknown>;

/** Some items of a stream in one piece. `failure` is what user code threw after them. */
export interface Portion {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly done: boolean;
  readonly failure?: unknown;
}

/** A message between threads costs as much as some dozen items: they travel together as far as they come fast. */
const PORTION_BYTES = 64 * 1024;
const PORTION_MS = 1;

/** Takes the items of a streamed answer in portions: whatever the generator gives without waiting. */
export class ChunkSource {
  readonly layout: StreamLayout;
  readonly #chunks: Chunks;
  #pulled: Promise<IteratorResult<unknown>> | null = null;

  constructor(chunks: Chunks, layout: StreamLayout) {
    this.#chunks = chunks;
    this.layout = layout;
  }

  /** Waits for the first item only. */
  async next(): Promise<Portion> {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    const endMs = performance.now() + PORTION_MS;
    const turn = nextTurn();
    let sizeBytes = 0;
    try {
      do {
        const item = await this.#pull(parts.length === 0 ? null : turn);
        if (item === null) break;
        if (item.done === true) return { bytes: joined(parts, sizeBytes), done: true };
        const part = this.layout.encode(item.value);
        parts.push(part);
        sizeBytes += part.length;
      } while (sizeBytes < PORTION_BYTES && performance.now() < endMs);
      return { bytes: joined(parts, sizeBytes), done: false };
    } catch (failure) {
      return { bytes: joined(parts, sizeBytes), done: true, failure };
    }
  }

  /** Ends the generator: its `finally` blocks run. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  /** The next item; null when the generator waits longer than `turn`, and the item is then the next call's. */
  async #pull(turn: Promise<null> | null): Promise<IteratorResult<unknown> | null> {
    const pulled = this.#pulled ?? this.#chunks.next();
    if (!(pulled instanceof Promise)) return pulled;
    this.#pulled = pulled;
    const item = await (turn === null ? pulled : Promise.race([pulled, turn]));
    if (item !== null) this.#pulled = null;
    return item;
  }
}

/** Resolves when whatever is ready by now has run. */
function nextTurn(): Promise<null> {
  return new Promise((resolve) => {
    setImmediate(() => resolve(null));
  });
}

function joined(parts: readonly Uint8Array<ArrayBuffer>[], sizeBytes: number): Uint8Array<ArrayBuffer> {
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return only;
  const bytes = new Uint8Array(sizeBytes);
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}
