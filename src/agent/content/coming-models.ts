import { setTimeout as delay } from 'node:timers/promises';
import { fetchLine } from '../../cluster/status/fetch-line.ts';
import { unlessAborted } from '../../lib/unless-aborted.ts';
import type { ComingModel } from '../../models/streaming/coming-model.ts';
import { ContentError } from './content-error.ts';
import type { ObtainProgress } from './node-contents.ts';

const TELL_MS = 1_000;

/** Models of one spec that are still on their way to this node. */
export class ComingModels {
  /** resolves when all of them are whole; rejects with what `failure` says then */
  readonly whole: Promise<void>;
  readonly #models: readonly ComingModel[];

  constructor(models: readonly ComingModel[]) {
    this.#models = models;
    this.whole = Promise.all(models.map((model) => model.whole)).then(
      () => undefined,
      (error: unknown) => {
        throw this.failure ?? error;
      },
    );
    this.whole.catch(() => undefined); // not everybody who asks how far they are waits for their end
  }

  /** How far they are, for people. */
  get line(): string {
    return this.#models.map((model) => fetchLine(model.progress)).join('; ');
  }

  /** Why one of them cannot be had; null as long as nothing is known against them. */
  get failure(): ContentError | null {
    const failed = this.#models.find(({ failure }) => failure !== null);
    return failed?.failure ? new ContentError('CONTENT_UNREACHABLE', failed.failure.message) : null;
  }

  /** Waits for their end, and says meanwhile how far they are. @throws ContentError; the signal's reason */
  async awaited({ onProgress, signal }: ObtainProgress): Promise<void> {
    const over = new AbortController();
    const ended = unlessAborted(this.whole, signal).finally(() => over.abort());
    ended.catch(() => undefined); // thrown below
    while (!over.signal.aborted) {
      onProgress(this.line);
      await delay(TELL_MS, undefined, { signal: over.signal }).catch(() => undefined);
    }
    await ended;
  }
}
