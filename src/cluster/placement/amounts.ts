/** A thousandth as people write it: 340 → `0.34`. What is below nothing (overlapping claims) reads as 0. */
export function milliText(milli: number): string {
  return String(Math.max(0, milli) / 1000);
}

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

/** A size as people write it, with two decimals at most: `1.5 GiB`, `512 MiB`. Below nothing reads as 0. */
export function sizeText(sizeBytes: number): string {
  const bytes = Math.max(0, sizeBytes);
  if (bytes >= GIB) return `${rounded(bytes / GIB)} GiB`;
  if (bytes >= MIB) return `${rounded(bytes / MIB)} MiB`;
  return `${bytes} bytes`;
}

function rounded(amount: number): number {
  return Math.round(amount * 100) / 100;
}
