import { existsSync } from 'node:fs';
import type { PinnedSpec } from '../../cluster/spec/types.ts';
import { type Progress, SharedWork } from '../../lib/shared-work.ts';
import type { NodeContents } from '../content/node-contents.ts';
import type { ModelAgents } from '../model-agents/model-agents.ts';
import {
  type PreparedBackend,
  type PrepareOptions,
  preparationKey,
  prepareBackend,
} from './prepare-backend.ts';
import { noteUse } from './uses.ts';

/** Brings packages and models to this node; see NodeContents. */
export type Contents = Pick<NodeContents, 'obtain' | 'obtainModels'>;

/** Has the agents of a deployment look at its models; see ModelAgents. */
export type Loader = Pick<ModelAgents, 'load'>;

/** What is ready to be started, and where this node has what its spec names. */
export interface ReadyBackend extends PreparedBackend {
  /** the spec with this node's own paths: working directory, model folder */
  readonly spec: PinnedSpec;
}

/** Preparations that ended well and are remembered: more than a node runs deployments. */
const REMEMBERED = 256;

/**
 * The preparations of one agent: replicas of the same content share one, a later one finds it done, and one that nobody
 * waits for any more is cancelled.
 */
export class Preparations {
  readonly #options: PrepareOptions;
  readonly #contents: Contents;
  readonly #agents: Loader;
  readonly #running = new SharedWork<ReadyBackend>();
  readonly #done = new Map<string, ReadyBackend>();

  constructor(options: Omit<PrepareOptions, 'builds'>, contents: Contents, agents: Loader) {
    this.#options = { ...options, builds: new SharedWork() };
    this.#contents = contents;
    this.#agents = agents;
  }

  /**
   * Brings what a spec names to this node, then see prepareBackend.
   * @returns null when the caller's signal came first, or nothing is prepared any more
   */
  async prepare(spec: PinnedSpec, progress: Progress): Promise<ReadyBackend | null> {
    const key = preparationKey(spec);
    const done = this.#done.get(key);
    if (done !== undefined && isThere(done)) return await this.#again(done, spec, progress);
    return await this.#running.join(key, async (shared) => await this.#prepare(key, spec, shared), progress);
  }

  /** Ends what is being built; nothing is prepared any more. Idempotent. */
  stop(): void {
    this.#running.stop();
    this.#options.builds.stop();
  }

  /** What was prepared stays so, but for models, which lie where somebody may have touched them. */
  async #again(done: ReadyBackend, spec: PinnedSpec, progress: Progress): Promise<ReadyBackend | null> {
    for (const folder of done.folders) await noteUse(folder, spec.packageName, spec.package.hash);
    try {
      const here = await this.#contents.obtainModels({ ...spec, package: done.spec.package }, progress);
      return { ...done, spec: await this.#agents.load(here, progress) };
    } catch (error) {
      if (progress.signal.aborted) return null;
      throw error;
    }
  }

  async #prepare(key: string, spec: PinnedSpec, progress: Progress): Promise<ReadyBackend> {
    const obtained = await this.#contents.obtain(spec, progress);
    const here = await this.#agents.load(obtained, progress);
    const ready = { ...(await prepareBackend(here, this.#options, progress)), spec: here };
    this.#done.set(key, ready);
    const [oldest] = this.#done.keys();
    if (this.#done.size > REMEMBERED && oldest !== undefined) this.#done.delete(oldest);
    return ready;
  }
}

function isThere({ command, codeDir, folders }: PreparedBackend): boolean {
  return [command, codeDir, ...folders].every((path) => existsSync(path));
}
