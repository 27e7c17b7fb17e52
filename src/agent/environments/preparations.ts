import { existsSync } from 'node:fs';
import type { PinnedSpec } from '../../cluster/spec/types.ts';
import { type Progress, SharedWork } from '../../lib/shared-work.ts';
import type { NodeContents } from '../content/node-contents.ts';
import type { ModelAgents } from '../model-agents/model-agents.ts';
import {
  type EnterModels,
  type PreparedBackend,
  type PrepareOptions,
  preparationKey,
  prepareBackend,
} from './prepare-backend.ts';
import { noteUse } from './uses.ts';

/** Brings packages and models to this node; see NodeContents. */
export type Contents = Pick<NodeContents, 'obtain' | 'obtainModels' | 'enter' | 'coming' | 'want'>;

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

  constructor(options: Omit<PrepareOptions, 'builds' | 'enter'>, contents: Contents, agents: Loader) {
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
      return await this.#entered({ ...done, spec: await this.#lookedAt(here, progress) }, progress);
    } catch (error) {
      if (progress.signal.aborted) return null;
      throw error;
    }
  }

  async #prepare(key: string, spec: PinnedSpec, progress: Progress): Promise<ReadyBackend> {
    const here = await this.#lookedAt(await this.#contents.obtain(spec, progress), progress);
    const enter: EnterModels = async (program) => await this.#contents.enter(here, program, progress);
    const ready = { ...(await prepareBackend(here, { ...this.#options, enter }, progress)), spec: here };
    this.#done.set(key, ready);
    const [oldest] = this.#done.keys();
    if (this.#done.size > REMEMBERED && oldest !== undefined) this.#done.delete(oldest);
    return await this.#entered(ready, progress);
  }

  /** An agent looks at whole models. */
  async #lookedAt(spec: PinnedSpec, progress: Progress): Promise<PinnedSpec> {
    const hasAgents = Object.keys(spec.agents ?? {}).length > 0;
    if (hasAgents) await this.#contents.coming(spec)?.awaited(progress);
    return await this.#agents.load(spec, progress);
  }

  /** What its environment needs depends on how much of its models is here, and so is asked for at each start. */
  async #entered(ready: ReadyBackend, progress: Progress): Promise<ReadyBackend> {
    return { ...ready, env: { ...ready.env, ...(await this.#contents.enter(ready.spec, ready, progress)) } };
  }
}

function isThere({ command, codeDir, folders }: PreparedBackend): boolean {
  return [command, codeDir, ...folders].every((path) => existsSync(path));
}
