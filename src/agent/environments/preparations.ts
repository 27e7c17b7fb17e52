import { existsSync } from 'node:fs';
import type { PinnedSpec } from '../../cluster/spec/types.ts';
import type { NodeContents } from '../content/node-contents.ts';
import type { OnProgress } from './build-once.ts';
import {
  type PreparedBackend,
  type PrepareOptions,
  type Progress,
  preparationKey,
  prepareBackend,
} from './prepare-backend.ts';

/** Brings packages and models to this node; see NodeContents. */
export type Contents = Pick<NodeContents, 'obtain' | 'obtainModels'>;

/** What is ready to be started, and where this node has what its spec names. */
export interface ReadyBackend extends PreparedBackend {
  /** the spec with this node's own paths: working directory, model folder */
  readonly spec: PinnedSpec;
}

/** Preparations that ended well and are remembered: more than a node runs deployments. */
const REMEMBERED = 256;

/** The preparations of one agent: replicas of the same content share one, and a later one finds it done. */
export class Preparations {
  readonly #options: PrepareOptions;
  readonly #contents: Contents;
  readonly #running = new Map<string, Promise<ReadyBackend>>();
  readonly #watchers = new Map<string, Set<OnProgress>>();
  readonly #done = new Map<string, ReadyBackend>();
  readonly #stopping = new AbortController();

  constructor(options: PrepareOptions, contents: Contents) {
    this.#options = options;
    this.#contents = contents;
  }

  /**
   * Brings what a spec names to this node, then see prepareBackend.
   * @returns null when the caller's signal came first; the preparation then goes on for others that wait for it
   */
  async prepare(spec: PinnedSpec, { onProgress, signal }: Progress): Promise<ReadyBackend | null> {
    const key = preparationKey(spec);
    const done = this.#done.get(key);
    if (done !== undefined && existsSync(done.command) && existsSync(done.codeDir)) {
      return await this.#again(done, spec, { onProgress, signal });
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

  /** What was prepared stays so, but for models, which lie where somebody may have touched them. */
  async #again(done: ReadyBackend, spec: PinnedSpec, progress: Progress): Promise<ReadyBackend | null> {
    try {
      const here = await this.#contents.obtainModels({ ...spec, package: done.spec.package }, progress);
      return { ...done, spec: here };
    } catch (error) {
      if (progress.signal.aborted) return null;
      throw error;
    }
  }

  async #begin(key: string, spec: PinnedSpec): Promise<ReadyBackend> {
    const progress: Progress = {
      onProgress: (line) => {
        for (const watcher of this.#watchers.get(key) ?? []) watcher(line);
      },
      signal: this.#stopping.signal,
    };
    try {
      const here = await this.#contents.obtain(spec, progress);
      const prepared = { ...(await prepareBackend(here, this.#options, progress)), spec: here };
      this.#remember(key, prepared);
      return prepared;
    } finally {
      this.#running.delete(key);
      this.#watchers.delete(key);
    }
  }

  #remember(key: string, prepared: ReadyBackend): void {
    this.#done.set(key, prepared);
    const [oldest] = this.#done.keys();
    if (this.#done.size > REMEMBERED && oldest !== undefined) this.#done.delete(oldest);
  }
}
