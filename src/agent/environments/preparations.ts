import { existsSync } from 'node:fs';
import type { PinnedSpec } from '../../cluster/spec/types.ts';
import type { OnProgress } from './build-once.ts';
import { checkModels } from './models.ts';
import {
  type PreparedBackend,
  type PrepareOptions,
  type Progress,
  preparationKey,
  prepareBackend,
} from './prepare-backend.ts';

/** Preparations that ended well and are remembered: more than a node runs deployments. */
const REMEMBERED = 256;

/** The preparations of one agent: replicas of the same content share one, and a later one finds it done. */
export class Preparations {
  readonly #options: PrepareOptions;
  readonly #running = new Map<string, Promise<PreparedBackend>>();
  readonly #watchers = new Map<string, Set<OnProgress>>();
  readonly #done = new Map<string, PreparedBackend>();
  readonly #stopping = new AbortController();

  constructor(options: PrepareOptions) {
    this.#options = options;
  }

  /**
   * See prepareBackend.
   * @returns null when the caller's signal came first; the preparation then goes on for others that wait for it
   */
  async prepare(spec: PinnedSpec, { onProgress, signal }: Progress): Promise<PreparedBackend | null> {
    const key = preparationKey(spec);
    const done = this.#done.get(key);
    if (done !== undefined && existsSync(done.command) && existsSync(done.codeDir)) {
      await checkModels(spec.modelRoot, spec.modelPins);
      return done;
    }
    const watchers = this.#watchers.get(key) ?? new Set();
    this.#watchers.set(key, watchers.add(onProgress));
    const running = this.#running.get(key) ?? this.#begin(key, spec);
    this.#running.set(key, running);
    const over = new AbortController();
    const interrupted = new Promise<null>((resolve) => {
      const options = { once: true, signal: over.signal };
      signal.addEventListener('abort', () => resolve(null), options);
      if (signal.aborted) resolve(null);
    });
    try {
      return await Promise.race([running, interrupted]);
    } finally {
      over.abort();
      watchers.delete(onProgress);
    }
  }

  /** Ends what is being built; nothing is prepared any more. Idempotent. */
  stop(): void {
    this.#stopping.abort();
  }

  async #begin(key: string, spec: PinnedSpec): Promise<PreparedBackend> {
    try {
      const prepared = await prepareBackend(spec, this.#options, {
        onProgress: (line) => {
          for (const watcher of this.#watchers.get(key) ?? []) watcher(line);
        },
        signal: this.#stopping.signal,
      });
      this.#remember(key, prepared);
      return prepared;
    } finally {
      this.#running.delete(key);
      this.#watchers.delete(key);
    }
  }

  #remember(key: string, prepared: PreparedBackend): void {
    this.#done.set(key, prepared);
    const [oldest] = this.#done.keys();
    if (this.#done.size > REMEMBERED && oldest !== undefined) this.#done.delete(oldest);
  }
}
