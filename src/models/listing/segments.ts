import { commonLength, compareKeys, LAST } from './key-order.ts';
import { KeyScale } from './key-scale.ts';

/** A part of the keys below a prefix that one worker lists from its start to its end. */
export interface Segment {
  /** all keys up to this one have come */
  after: string;
  /** the last key that may belong to it; null: no end */
  end: string | null;
  /** how many keys may still come, judged by its last page */
  expectedKeys: number;
  /** how much of the scale its last page took; null: no page yet */
  pageWidth: number | null;
  /** where the keys end that begin as those of its last page do; null: looked behind that already, or nothing in common */
  groupEnd: string | null;
}

/** Splitting what ends with the next page gains nothing. */
const WORTH_PAGES = 1.5;

/**
 * How the keys below a prefix are divided among workers: each key belongs to one segment at any time, and what is left of a
 * segment is divided where its last page lets expect the middle of the rest. Knows nothing of requests.
 */
export class Segments {
  readonly #prefix: string;
  readonly #scale: KeyScale;
  readonly #open = new Set<Segment>();
  #pageKeys = 1;

  constructor(prefix: string) {
    this.#prefix = prefix;
    this.#scale = new KeyScale(prefix);
  }

  /** The first segment: all keys. */
  begin(): Segment {
    return this.#add({ after: '', end: null, expectedKeys: 0, pageWidth: null, groupEnd: null });
  }

  /** Cuts a part off the segment with the most to come. @returns null where that is not worth a request */
  split(): Segment | null {
    const byExpected = [...this.#open].sort((left, right) => right.expectedKeys - left.expectedKeys);
    for (const segment of byExpected) {
      const middle = this.#middleOf(segment);
      if (middle !== null) return this.#cut(segment, middle);
    }
    return null;
  }

  /**
   * Takes a page that was asked for from `after` on, or from where the page before ended.
   * @param keys in order
   * @returns how many of them belong to the segment, and whether it goes on
   */
  take(
    segment: Segment,
    keys: readonly string[],
    isLast: boolean,
  ): { readonly count: number; readonly goesOn: boolean } {
    const { end } = segment;
    const [first, last] = [keys[0], keys.at(-1)];
    this.#scale.learn(keys);
    this.#pageKeys = Math.max(this.#pageKeys, keys.length);
    const isBeyond = end !== null && last !== undefined && compareKeys(last, end) >= 0;
    const count = isBeyond ? countUpTo(keys, end) : keys.length;
    const goesOn = !isLast && !isBeyond;
    if (!goesOn) this.#open.delete(segment);
    else if (first !== undefined && last !== undefined) this.#look(segment, keys, { first, last });
    return { count, goesOn };
  }

  #look(
    segment: Segment,
    keys: readonly string[],
    { first, last }: { readonly first: string; readonly last: string },
  ): void {
    const from = this.#scale.valueOf(first);
    const to = this.#scale.valueOf(last);
    const width = Math.max(to - from, Number.EPSILON);
    segment.after = last;
    segment.pageWidth = width;
    segment.expectedKeys = (keys.length * (this.#scale.valueOf(segment.end) - to)) / width;
    const common = commonLength(first, last);
    const isGroup = segment.end === null && common > this.#prefix.length;
    segment.groupEnd = isGroup ? first.slice(0, common) + LAST : null;
  }

  /** Behind the group of its page where nothing is known of what follows, else in the middle of what is to come. */
  #middleOf(segment: Segment): string | null {
    const { after, end, groupEnd, pageWidth } = segment;
    if (segment.expectedKeys < WORTH_PAGES * this.#pageKeys) return groupEnd;
    // A page is on its way already.
    const from = this.#scale.valueOf(after) + (pageWidth ?? 0);
    const key = this.#scale.keyAt((from + this.#scale.valueOf(end)) / 2);
    const isInside = compareKeys(key, after) > 0 && (end === null || compareKeys(key, end) < 0);
    return isInside ? key : null;
  }

  #cut(segment: Segment, middle: string): Segment {
    const { end } = segment;
    const isGroup = segment.groupEnd === middle;
    segment.groupEnd = null;
    segment.end = middle;
    const scale = this.#scale;
    const from = scale.valueOf(segment.after);
    const whole = scale.valueOf(end) - from;
    const share = whole <= 0 ? 0 : (scale.valueOf(middle) - from) / whole;
    const expected = segment.expectedKeys;
    segment.expectedKeys = expected * share;
    return this.#add({
      ...{ after: middle, end, pageWidth: isGroup ? null : segment.pageWidth, groupEnd: null },
      expectedKeys: isGroup ? 0 : expected * (1 - share),
    });
  }

  #add(segment: Segment): Segment {
    this.#open.add(segment);
    return segment;
  }
}

function countUpTo(keys: readonly string[], end: string): number {
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareKeys(keys[middle] ?? '', end) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
