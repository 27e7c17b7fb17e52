import { Agent, request } from 'undici';

export interface LoadOutcome {
  readonly answered: number;
  /** every answer that was not a 200, and every error, as text */
  readonly failures: readonly string[];
  /** distinct bodies seen, with how often */
  readonly bodies: ReadonlyMap<string, number>;
  readonly slowestMs: number;
}

export interface Load {
  /** how many requests have been answered so far */
  readonly answered: () => number;
  readonly failures: () => readonly string[];
  /** resolves when `count` more requests have been answered */
  readonly more: (count: number) => Promise<void>;
  readonly stop: () => Promise<LoadOutcome>;
}

/** Steady load: `connections` loops that each send the next request when the last was answered. */
export function steadyLoad(
  url: string,
  options: { readonly connections?: number; readonly body?: string } = {},
): Load {
  const connections = options.connections ?? 20;
  const dispatcher = new Agent({ connections, pipelining: 1 });
  const failures: string[] = [];
  const bodies = new Map<string, number>();
  let answered = 0;
  let slowestMs = 0;
  let stopped = false;
  const one = async (): Promise<void> => {
    const startedMs = performance.now();
    try {
      const answer = await request(url, {
        method: 'POST',
        dispatcher,
        headers: { 'content-type': 'application/json' },
        body: options.body ?? '{}',
      });
      const text = await answer.body.text();
      if (answer.statusCode !== 200) failures.push(`${answer.statusCode} ${text}`);
      else bodies.set(text, (bodies.get(text) ?? 0) + 1);
    } catch (error) {
      failures.push(String(error));
    }
    answered += 1;
    slowestMs = Math.max(slowestMs, performance.now() - startedMs);
  };
  const loops = Array.from({ length: connections }, async () => {
    while (!stopped) await one();
  });
  return {
    answered: () => answered,
    failures: () => failures,
    more: async (count) => {
      const goal = answered + count;
      while (answered < goal && !stopped) await new Promise((resolve) => setImmediate(resolve));
    },
    stop: async () => {
      stopped = true;
      await Promise.all(loops);
      if (!dispatcher.destroyed) await dispatcher.close();
      return { answered, failures, bodies, slowestMs };
    },
  };
}
