const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;

/**
 * How long to wait before the next start of a replica, in ms: 0, 500, 1000, 2000 … 30000. A replica that was stable
 * has no failures behind it, so its first restart is immediate.
 * @param consecutiveFailures starts (or early lives) that failed since it was last stable
 */
export function restartDelayMs(consecutiveFailures: number): number {
  if (consecutiveFailures <= 0) return 0;
  return Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (consecutiveFailures - 1));
}
