import { type IntervalHistogram, monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type { ProcessSample } from '../cluster/metrics/samples.ts';

/** A timer of this period tells how late timers are: 50 a second cost nothing that can be measured. */
const RESOLUTION_MS = 20;
const WINDOW_MS = 10_000;

/** What this process takes of its machine, and how late its event loop is. */
export class ProcessSampler {
  readonly #role: ProcessSample['role'];
  readonly #delays: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  #window: NodeJS.Timeout | null = null;
  #lastDelayS = 0;

  constructor(role: ProcessSample['role']) {
    this.#role = role;
  }

  /** Watches the event loop from here on. Idempotent. */
  start(): void {
    if (this.#window !== null) return;
    this.#delays.enable();
    this.#window = setInterval(() => {
      this.#lastDelayS = this.#delayS;
      this.#delays.reset();
    }, WINDOW_MS);
  }

  /** Idempotent. */
  stop(): void {
    if (this.#window !== null) clearInterval(this.#window);
    this.#window = null;
    this.#delays.disable();
  }

  get sample(): ProcessSample {
    const { user, system } = process.cpuUsage();
    return {
      pid: process.pid,
      role: this.#role,
      cpuS: (user + system) / 1e6,
      residentBytes: process.memoryUsage.rss(),
      loopBusyS: performance.eventLoopUtilization().active / 1000,
      loopDelayS: Math.max(this.#lastDelayS, this.#delayS),
    };
  }

  /** In the window so far: what the timer was late by, at most. */
  get #delayS(): number {
    return Math.max(0, this.#delays.max / 1e9 - RESOLUTION_MS / 1000);
  }
}
