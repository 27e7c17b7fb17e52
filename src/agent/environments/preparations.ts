import { existsSync } from 'node:fs';
import type { PinnedSpec } from '../../cluster/spec/types.ts';
import { codeOf, messageOf } from '../../lib/errors.ts';
import type { JsonValue } from '../../lib/json.ts';
import { type Progress, SharedWork } from '../../lib/shared-work.ts';
import type { NodeContents } from '../content/node-contents.ts';
import type { ModelAgents } from '../model-agents/model-agents.ts';
import { BuildTally } from './build-tally.ts';
import { PreparationError } from './preparation-error.ts';
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
  /** with what its references hold on this node */
  readonly userConfig: JsonValue | null;
}

/** What deployments of the same content share. */
type SharedBackend = Omit<ReadyBackend, 'userConfig'>;

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
  /** of environments that were built for these */
  readonly tally = new BuildTally();
  readonly #running = new SharedWork<SharedBackend>();
  readonly #done = new Map<string, SharedBackend>();

  constructor(
    options: Omit<PrepareOptions, 'builds' | 'tally' | 'enter'>,
    contents: Contents,
    agents: Loader,
  ) {
    this.#options = { ...options, builds: new SharedWork(), tally: this.tally };
    this.#contents = contents;
    this.#agents = agents;
  }

  /**
   * Brings what a spec names to this node, then see prepareBackend.
   * @returns null when the caller's signal came first, or nothing is prepared any more
   */
  async prepare(spec: PinnedSpec, progress: Progress): Promise<ReadyBackend | null> {
    this.#valuesOf(spec); // what is missing is said before anything is built
    const ready = await this.#obtain(spec, progress);
    return ready === null ? null : { ...ready, userConfig: this.#valuesOf(spec).userConfig };
  }

  async #obtain(spec: PinnedSpec, progress: Progress): Promise<SharedBackend | null> {
    const key = preparationKey(spec);
    const done = this.#done.get(key);
    if (done !== undefined && isThere(done)) return await this.#again(done, spec, progress);
    return await this.#running.join(key, async (shared) => await this.#prepare(key, spec, shared), progress);
  }

  /** Ends what is being built; nothing is prepared any more. Idempotent. */
  async stop(): Promise<void> {
    await Promise.all([this.#running.stop(), this.#options.builds.stop()]);
  }

  /** What was prepared stays so, but for models, which lie where somebody may have touched them. */
  async #again(done: SharedBackend, spec: PinnedSpec, progress: Progress): Promise<SharedBackend | null> {
    for (const folder of done.folders) await noteUse(folder, spec.packageName, spec.package.hash);
    try {
      const here = await this.#contents.obtainModels({ ...spec, package: done.spec.package }, progress);
      return await this.#entered({ ...done, spec: await this.#lookedAt(here, progress) }, progress);
    } catch (error) {
      if (progress.signal.aborted) return null;
      throw error;
    }
  }

  async #prepare(key: string, spec: PinnedSpec, progress: Progress): Promise<SharedBackend> {
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

  /**
   * Looked at anew for each start: what its variables hold, and what its environment needs, which depends on how much of
   * its models is here.
   */
  async #entered(ready: SharedBackend, progress: Progress): Promise<SharedBackend> {
    const env = { ...ready.env, ...this.#valuesOf(ready.spec).env };
    return {
      ...ready,
      env: { ...env, ...(await this.#contents.enter(ready.spec, { ...ready, env }, progress)) },
    };
  }

  /** @throws PreparationError REFERENCE_MISSING */
  #valuesOf(spec: PinnedSpec): Pick<ReadyBackend, 'env' | 'userConfig'> {
    const { values } = this.#options;
    try {
      return { env: values.environmentOf(spec), userConfig: values.configOf(spec) };
    } catch (error) {
      if (!codeOf(error)?.startsWith('REFERENCE_')) throw error;
      throw new PreparationError('REFERENCE_MISSING', messageOf(error));
    }
  }
}

function isThere({ command, codeDir, folders }: PreparedBackend): boolean {
  return [command, codeDir, ...folders].every((path) => existsSync(path));
}
