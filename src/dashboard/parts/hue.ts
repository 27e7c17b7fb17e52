/** A colour for a name, the same wherever it is shown, and dark enough for white letters on it. */
export function colorOf(name: string): string {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) >>> 0;
  return `hsl(${(sum * 137) % 360} 55% 30%)`;
}
