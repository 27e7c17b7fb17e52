/** A timer set for longer would fire at once. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** What a promise resolves to, or null when that takes longer. */
export async function within<Value>(timeoutMs: number, promise: Promise<Value>): Promise<Value | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
