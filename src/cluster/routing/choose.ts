/** How busy a replica is, as the ingress that asks knows it. */
export interface Load {
  /** requests that are there now */
  readonly inFlight: number;
  /** how many it takes at once; 0 while it can take none */
  readonly limit: number;
}

/**
 * Chooses the less loaded of two random candidates below their limit; where those two are full, the first that is not,
 * from a random place on. So a request costs the same with 3 replicas and with 300, and none waits while there is room.
 * @param random uniform in [0, 1); injected so that tests are deterministic
 * @returns null when every candidate is at its limit: the caller queues
 */
export function choose<Candidate extends Load>(
  candidates: readonly Candidate[],
  random: () => number,
): Candidate | null {
  const count = candidates.length;
  if (count === 0) return null;
  const firstIndex = Math.floor(random() * count);
  const first = withRoom(candidates[firstIndex]);
  if (count === 1) return first;
  const offset = 1 + Math.floor(random() * (count - 1));
  const second = withRoom(candidates[(firstIndex + offset) % count]);
  if (first !== null && second !== null) return second.inFlight < first.inFlight ? second : first;
  return first ?? second ?? firstWithRoom(candidates, firstIndex);
}

function withRoom<Candidate extends Load>(candidate: Candidate | undefined): Candidate | null {
  return candidate !== undefined && candidate.inFlight < candidate.limit ? candidate : null;
}

function firstWithRoom<Candidate extends Load>(
  candidates: readonly Candidate[],
  from: number,
): Candidate | null {
  for (let step = 0; step < candidates.length; step += 1) {
    const candidate = withRoom(candidates[(from + step) % candidates.length]);
    if (candidate !== null) return candidate;
  }
  return null;
}
