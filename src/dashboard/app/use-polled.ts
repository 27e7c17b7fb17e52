import { useEffect, useState } from 'preact/hooks';
import { ask, isAbort, isAway, isLoggedIn, messageOf } from './api.ts';

export interface Polled<Answer> {
  /** null: nothing has come yet */
  readonly data: Answer | null;
  readonly error: string | null;
}

/** A head that is away is asked again after so long at most. */
const AWAY_MS = 3_000;
const nothing = (): string => '';

/**
 * What the API answers at a path, asked again every `everyMs` while the page is seen. A null path asks nothing.
 * @param moving what is put behind the path anew each time: a span of time up to now
 */
export function usePolled<Answer>(path: string | null, everyMs: number, moving = nothing): Polled<Answer> {
  const [data, setData] = useState<Answer | null>(null);
  const [error, setError] = useState<string | null>(null);
  useEffect(() => {
    setData(null);
    if (path === null) return;
    const loop = new Polling<Answer>(
      () => `${path}${moving()}`,
      everyMs,
      (answer, failure) => {
        if (failure === null) setData(() => answer);
        setError(failure);
      },
    );
    loop.askNow();
    return () => loop.stop();
  }, [path, everyMs]);
  return { data, error };
}

class Polling<Answer> {
  readonly #path: () => string;
  readonly #everyMs: number;
  readonly #tell: (answer: Answer | null, error: string | null) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asking: AbortController | null = null;
  #isStopped = false;
  readonly #seen = (): void => {
    if (!document.hidden) this.askNow();
  };

  constructor(
    path: () => string,
    everyMs: number,
    tell: (answer: Answer | null, error: string | null) => void,
  ) {
    this.#path = path;
    this.#everyMs = everyMs;
    this.#tell = tell;
    document.addEventListener('visibilitychange', this.#seen);
  }

  askNow(): void {
    if (this.#asking === null && !this.#isStopped) void this.#ask();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#asking?.abort();
    document.removeEventListener('visibilitychange', this.#seen);
  }

  async #ask(): Promise<void> {
    clearTimeout(this.#timer);
    this.#asking = new AbortController();
    let nextMs = this.#everyMs;
    try {
      const answer = await ask<Answer>(this.#path(), { signal: this.#asking.signal });
      if (!this.#isStopped) this.#tell(answer, null);
    } catch (error) {
      if (isAway(error)) nextMs = Math.min(nextMs, AWAY_MS);
      else if (!this.#isStopped && !isAbort(error)) this.#tell(null, messageOf(error));
    }
    this.#asking = null;
    if (this.#isStopped || document.hidden || isLoggedIn.value === false) return;
    this.#timer = setTimeout(() => void this.#ask(), nextMs);
  }
}
