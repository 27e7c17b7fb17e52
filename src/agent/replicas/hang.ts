/** When silence is one, and how often a class is asked for its health; in ms. */
export interface LifeSignLimits {
  /** silent so long with a stopped process: nothing new goes there */
  readonly suspectAfterMs: number;
  /** silent so long and stopped, or silent and without CPU use so long: it is replaced */
  readonly hungAfterMs: number;
  readonly healthEveryMs: number;
}

export const LIFE_SIGN_LIMITS: LifeSignLimits = {
  suspectAfterMs: 2_000,
  hungAfterMs: 10_000,
  healthEveryMs: 5_000,
};

/** How often a pulse is to be judged, in ms: replicas beat as often. */
export const JUDGE_EVERY_MS = 500;

/** Longer without judging than this, and it was this process that did not run: what it did not hear says nothing. */
const OVERSLEPT_MS = 2_000;

/** What is known of a replica's life signs; times of one monotonic clock. */
export interface Pulse {
  readonly beatAtMs: number;
  readonly cpuTicks: number;
  /** since when the CPU time has not moved */
  readonly cpuStillSinceMs: number;
  readonly judgedAtMs: number;
}

export interface Observation {
  readonly nowMs: number;
  /** CPU time of the process so far, all its threads */
  readonly cpuTicks: number;
  /** by SIGSTOP or a debugger */
  readonly stopped: boolean;
}

export type HangVerdict = 'alive' | 'suspect' | 'hung';

export function newPulse(nowMs: number): Pulse {
  return { beatAtMs: nowMs, cpuTicks: -1, cpuStillSinceMs: nowMs, judgedAtMs: nowMs };
}

export function beat(pulse: Pulse, nowMs: number): Pulse {
  return { ...pulse, beatAtMs: nowMs };
}

/**
 * Whether a replica hangs: silent, and its process stopped or idle. A native call that computes while it holds the
 * interpreter's lock silences every thread too, but uses CPU, and is no hang.
 */
export function judge(
  before: Pulse,
  { nowMs, cpuTicks, stopped }: Observation,
  limits: LifeSignLimits,
): { readonly pulse: Pulse; readonly verdict: HangVerdict } {
  if (nowMs - before.judgedAtMs > OVERSLEPT_MS) {
    return { pulse: { ...newPulse(nowMs), cpuTicks }, verdict: 'alive' };
  }
  const cpuStillSinceMs = cpuTicks === before.cpuTicks ? before.cpuStillSinceMs : nowMs;
  const pulse: Pulse = { ...before, cpuTicks, cpuStillSinceMs, judgedAtMs: nowMs };
  const silentMs = nowMs - pulse.beatAtMs;
  const idle = nowMs - cpuStillSinceMs >= limits.hungAfterMs;
  if (silentMs >= limits.hungAfterMs && (stopped || idle)) return { pulse, verdict: 'hung' };
  return { pulse, verdict: stopped && silentMs >= limits.suspectAfterMs ? 'suspect' : 'alive' };
}
