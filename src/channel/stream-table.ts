const FIRST_CAPACITY = 64;

/**
 * What is open on a connection, by stream number. Not a Map, for one reason: at its every rehash (each few dozen
 * requests) V8 leaves a dead table behind that points to the next one. Once one of them is old, each scavenge promotes the next
 * with all requests in it, and collecting garbage was a quarter of what a request cost (see docs/architecture.md).
 * Open addressing with linear probing: numbers grow one by one, so that there is hardly ever a collision.
 */
export class StreamTable<Entry> {
  #numbers: number[] = new Array<number>(FIRST_CAPACITY).fill(0);
  #entries: (Entry | null)[] = new Array<Entry | null>(FIRST_CAPACITY).fill(null);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(number: number): Entry | undefined {
    return this.#entries[this.#find(number)] ?? undefined;
  }

  has(number: number): boolean {
    return this.get(number) !== undefined;
  }

  set(number: number, entry: Entry): void {
    let at = this.#find(number);
    if (this.#entries[at] === null) {
      if ((this.#size + 1) * 2 > this.#entries.length) {
        this.#grow();
        at = this.#find(number);
      }
      this.#size += 1;
    }
    this.#numbers[at] = number;
    this.#entries[at] = entry;
  }

  delete(number: number): void {
    const mask = this.#entries.length - 1;
    let hole = this.#find(number);
    if (this.#entries[hole] === null) return;
    this.#size -= 1;
    // Whatever was displaced past the hole moves up, so that it is found without marks for what is gone.
    for (let at = (hole + 1) & mask; this.#entries[at] !== null; at = (at + 1) & mask) {
      const home = (this.#numbers[at] as number) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      this.#numbers[hole] = this.#numbers[at] as number;
      this.#entries[hole] = this.#entries[at] as Entry;
      hole = at;
    }
    this.#entries[hole] = null;
  }

  /** What is in it now, in no order. */
  values(): Entry[] {
    return this.#entries.filter((entry) => entry !== null);
  }

  /** Where the number is, or the free place where it would go. */
  #find(number: number): number {
    const mask = this.#entries.length - 1;
    let at = number & mask;
    while (this.#entries[at] !== null && this.#numbers[at] !== number) at = (at + 1) & mask;
    return at;
  }

  #grow(): void {
    const numbers = this.#numbers;
    const entries = this.#entries;
    this.#numbers = new Array<number>(entries.length * 2).fill(0);
    this.#entries = new Array<Entry | null>(entries.length * 2).fill(null);
    entries.forEach((entry, at) => {
      if (entry === null) return;
      const place = this.#find(numbers[at] as number);
      this.#numbers[place] = numbers[at] as number;
      this.#entries[place] = entry;
    });
  }
}
