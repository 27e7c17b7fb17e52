import type { NodeSoftware } from '../../cluster/environments/types.ts';
import { EnvironmentKeeper, type KeeperDependencies } from './environment-keeper.ts';
import { SoftwareWatch } from './node-software.ts';
import { type Contents, type Loader, Preparations } from './preparations.ts';
import type { PrepareOptions } from './prepare-backend.ts';

export interface NodeEnvironmentsDependencies extends KeeperDependencies {
  readonly contents: Contents;
  readonly agents: Loader;
  /** the software of this node is not what it was */
  readonly onChange: () => void;
}

/** All that an agent has to do with environments: makes them, tidies up after them, knows what they can be made of. */
export class NodeEnvironments {
  readonly preparations: Preparations;
  readonly #keeper: EnvironmentKeeper;
  readonly #software: SoftwareWatch;

  constructor(options: Omit<PrepareOptions, 'builds' | 'tally'>, dependencies: NodeEnvironmentsDependencies) {
    this.preparations = new Preparations(options, dependencies.contents, dependencies.agents);
    this.#keeper = new EnvironmentKeeper(options, dependencies);
    this.#software = new SoftwareWatch(options.baseEnv, dependencies.onChange);
  }

  /** See SoftwareWatch. */
  get software(): NodeSoftware | null {
    return this.#software.software;
  }

  /** Resolves when it is known what this node has. */
  async start(): Promise<void> {
    this.#keeper.start();
    await this.#software.start();
  }

  /** Ends what is being built; idempotent. */
  async stop(): Promise<void> {
    this.#software.stop();
    await Promise.all([this.preparations.stop(), this.#keeper.stop()]);
  }
}
