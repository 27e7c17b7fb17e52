interface Place<Item> {
  readonly item: Item;
  before: Place<Item> | null;
  after: Place<Item> | null;
}

/** First in, first out, with a way in at the front and a way out from anywhere, each in constant time. */
export class WaitQueue<Item> {
  readonly #places = new Map<Item, Place<Item>>();
  #first: Place<Item> | null = null;
  #last: Place<Item> | null = null;

  get size(): number {
    return this.#places.size;
  }

  pushBack(item: Item): void {
    const place: Place<Item> = { item, before: this.#last, after: null };
    if (this.#last === null) this.#first = place;
    else this.#last.after = place;
    this.#last = place;
    this.#places.set(item, place);
  }

  pushFront(item: Item): void {
    const place: Place<Item> = { item, before: null, after: this.#first };
    if (this.#first === null) this.#last = place;
    else this.#first.before = place;
    this.#first = place;
    this.#places.set(item, place);
  }

  /** Takes the first out; null when nobody waits. */
  shift(): Item | null {
    if (this.#first === null) return null;
    const { item } = this.#first;
    this.remove(item);
    return item;
  }

  /** @returns false where it does not wait here */
  remove(item: Item): boolean {
    const place = this.#places.get(item);
    if (place === undefined) return false;
    this.#places.delete(item);
    if (place.before === null) this.#first = place.after;
    else place.before.after = place.after;
    if (place.after === null) this.#last = place.before;
    else place.after.before = place.before;
    return true;
  }

  /** Takes all out, in order. */
  drain(): readonly Item[] {
    const items = [];
    for (let item = this.shift(); item !== null; item = this.shift()) items.push(item);
    return items;
  }
}
