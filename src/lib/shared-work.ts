/** How long work goes on when nobody waits for it any more: somebody may come who wants the same. */
const LINGER_MS = 2_000;

/** One line about what is going on, for a person who waits. */
export type OnProgress = (line: string) => void;

export interface Progress {
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal;
}

interface Work<Result> {
  readonly result: Promise<Result>;
  readonly watchers: Set<OnProgress>;
  readonly cancel: AbortController;
  /** what was said last: whoever joins later hears it, too */
  said: string | null;
  linger: NodeJS.Timeout | null;
}

/**
 * Long work that several may want at the same time: done once for all who ask by the same key, cancelled when the last
 * of them has gone for a while.
 */
export class SharedWork<Result> {
  readonly #running = new Map<string, Work<Result>>();
  /** what has not ended yet; cancelled work is among it */
  readonly #unfinished = new Set<Promise<unknown>>();
  readonly #lingerMs: number;
  #stopped = false;

  constructor(lingerMs: number = LINGER_MS) {
    this.#lingerMs = lingerMs;
  }

  /**
   * Waits for the work of that key, which is begun if it is not under way.
   * @returns null when the caller's signal came first
   * @throws what the work throws
   */
  async join(
    key: string,
    begin: (progress: Progress) => Promise<Result>,
    { onProgress, signal }: Progress,
  ): Promise<Result | null> {
    if (signal.aborted || this.#stopped) return null;
    const work = this.#running.get(key) ?? this.#begin(key, begin);
    if (work.linger !== null) clearTimeout(work.linger);
    work.linger = null;
    work.watchers.add(onProgress);
    if (work.said !== null) onProgress(work.said);
    const over = new AbortController();
    const interrupted = new Promise<null>((resolve) => {
      signal.addEventListener('abort', () => resolve(null), { once: true, signal: over.signal });
    });
    try {
      return await Promise.race([work.result, interrupted]);
    } finally {
      over.abort();
      work.watchers.delete(onProgress);
      if (work.watchers.size === 0) this.#abandon(key, work);
    }
  }

  /**
   * Cancels all that is under way; nothing is begun any more. Idempotent.
   * @returns once all of it has ended
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const work of this.#running.values()) {
      if (work.linger !== null) clearTimeout(work.linger);
      work.cancel.abort();
    }
    await Promise.all(this.#unfinished);
  }

  #begin(key: string, begin: (progress: Progress) => Promise<Result>): Work<Result> {
    const cancel = new AbortController();
    const watchers = new Set<OnProgress>();
    const work: Work<Result> = {
      ...{ watchers, cancel, said: null, linger: null },
      result: begin({
        onProgress: (line) => {
          work.said = line;
          for (const watcher of watchers) watcher(line);
        },
        signal: cancel.signal,
      }).finally(() => {
        if (this.#running.get(key) === work) this.#running.delete(key);
        if (work.linger !== null) clearTimeout(work.linger);
      }),
    };
    const ended = work.result.then(
      () => void this.#unfinished.delete(ended),
      () => void this.#unfinished.delete(ended), // everybody may have gone
    );
    this.#unfinished.add(ended);
    this.#running.set(key, work);
    return work;
  }

  /** Cancelled work is forgotten at once: whoever comes then begins anew. */
  #abandon(key: string, work: Work<Result>): void {
    if (this.#stopped || this.#running.get(key) !== work) return;
    work.linger = setTimeout(() => {
      this.#running.delete(key);
      work.cancel.abort();
    }, this.#lingerMs);
  }
}
