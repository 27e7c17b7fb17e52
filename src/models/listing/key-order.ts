/** Sorts behind every key that goes on after the same beginning: no key of a store has this character. */
export const LAST = '\u{10fffd}';

/** Orders keys as stores do, by the bytes of their UTF-8. JavaScript's own order puts U+E000 to U+FFFF behind all emoji. */
export function compareKeys(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at += 1) {
    const [one, other] = [left.charCodeAt(at), right.charCodeAt(at)];
    if (one === other) continue;
    const areHigh = one >= 0xd800 && other >= 0xd800;
    // Halves of a pair stand for what is above U+FFFF.
    return areHigh && isHalf(one) !== isHalf(other) ? (isHalf(one) ? 1 : -1) : one - other;
  }
  return left.length - right.length;
}

function isHalf(unit: number): boolean {
  return unit <= 0xdfff;
}

/** How many characters two keys begin with in common; never ends within a pair. */
export function commonLength(left: string, right: string): number {
  let at = 0;
  while (at < left.length && at < right.length && left.charCodeAt(at) === right.charCodeAt(at)) at += 1;
  const before = left.charCodeAt(at - 1);
  return before >= 0xd800 && before <= 0xdbff ? at - 1 : at;
}
