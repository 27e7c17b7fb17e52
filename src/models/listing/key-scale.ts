import { compareKeys } from './key-order.ts';

/** So much of a key decides where it lies: what comes behind it is finer than a number can tell. */
const MAX_PRECISION = 2 ** 45;
const SAMPLES = 32;
const DIGITS = [...'0123456789'];
const HEX = [...'abcdef'];

/**
 * Where keys lie between each other, as numbers from 0 to 1, by which characters have been seen at which place of a key. What
 * all keys have in common takes no room on it, and numbers that are written with zeros in front lie evenly.
 */
export class KeyScale {
  readonly #prefix: string;
  /** of each place behind the prefix: its characters, in order */
  readonly #places: string[][] = [];

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** Looks at some of the keys of a page. */
  learn(keys: readonly string[]): void {
    const step = Math.max(1, Math.floor(keys.length / SAMPLES));
    for (let index = 0; index < keys.length; index += step) this.#learnOne(keys[index] ?? '');
    this.#learnOne(keys.at(-1) ?? '');
  }

  /** @param key null: behind all of them */
  valueOf(key: string | null): number {
    if (key === null) return 1;
    let [value, width] = [0, 1];
    const characters = [...key.slice(this.#prefix.length)];
    for (const [at, characters_] of this.#places.entries()) {
      const character = characters[at];
      if (character === undefined || width < 1 / MAX_PRECISION) break;
      width /= characters_.length;
      const rank = rankOf(characters_, character);
      value += rank.below * width;
      if (!rank.isThere) break;
    }
    return Math.min(value, 1);
  }

  /** A key of that value, or one a little below it: it need not be one that is there. */
  keyAt(value: number): string {
    let key = this.#prefix;
    let [rest, width] = [value, 1];
    for (const characters of this.#places) {
      if (width < 1 / MAX_PRECISION || rest <= 0) break;
      width /= characters.length;
      const rank = Math.min(Math.floor(rest / width), characters.length - 1);
      key += characters[rank];
      rest -= rank * width;
    }
    return key;
  }

  #learnOne(key: string): void {
    for (const [at, character] of [...key.slice(this.#prefix.length)].entries()) {
      const known = this.#places[at];
      if (known === undefined) this.#places[at] = withKin([character]);
      else if (!known.includes(character)) this.#places[at] = withKin([...known, character]);
    }
  }
}

/** Where there is one digit, others will be, and letters of hexadecimal numbers likewise. */
function withKin(characters: readonly string[]): string[] {
  const hasDigit = characters.some((one) => DIGITS.includes(one));
  const letters = characters.filter((one) => one >= 'a' && one <= 'z');
  const isHex = hasDigit && letters.length > 0 && letters.every((one) => one <= 'f');
  const kin = [...characters, ...(hasDigit ? DIGITS : []), ...(isHex ? HEX : [])];
  return [...new Set(kin)].sort(compareKeys);
}

/** How many characters of a place are below one. */
function rankOf(
  characters: readonly string[],
  character: string,
): { readonly below: number; readonly isThere: boolean } {
  const at = characters.indexOf(character);
  if (at >= 0) return { below: at, isThere: true };
  return { below: characters.filter((one) => compareKeys(one, character) < 0).length, isThere: false };
}
