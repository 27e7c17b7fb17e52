/** A colour's hue for a name, the same wherever it is shown. */
export function hueOf(name: string): number {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) >>> 0;
  return (sum * 137) % 360;
}
