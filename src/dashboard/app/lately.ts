import type { MetricTick } from '../../cluster/metrics/series.ts';

/** What a deployment was asked in the last minute. */
export interface Lately {
  readonly name: string;
  readonly requests: number;
  readonly failures: number;
}

const LATELY_MS = 60_000;

/** Ticks of the last minute, the new one among them. */
export function withTick(ticks: readonly MetricTick[], tick: MetricTick): readonly MetricTick[] {
  return [...ticks.filter(({ atMs }) => atMs < tick.atMs && atMs > tick.atMs - LATELY_MS), tick];
}

/** One tick is too short to tell by how much fails: what they count together, by deployment of the newest. */
export function countedIn(ticks: readonly MetricTick[]): readonly Lately[] {
  const sums = new Map(ticks.at(-1)?.deployments.map(({ name }) => [name, { requests: 0, failures: 0 }]));
  for (const { coversMs, deployments } of ticks) {
    for (const { name, requestsPerS, failuresPerS } of deployments) {
      const sum = sums.get(name);
      if (sum === undefined) continue;
      sum.requests += (requestsPerS * coversMs) / 1000;
      sum.failures += (failuresPerS * coversMs) / 1000;
    }
  }
  return [...sums].map(([name, sum]) => ({ name, ...sum }));
}
