import type { DeploymentSample } from '../cluster/metrics/samples.ts';
import type { RoutingTable } from '../cluster/routing/types.ts';
import { type DeploymentCounts, DeploymentQueue } from './deployment-queue.ts';
import type { DeploymentTargets } from './fleet.ts';
import { notReady } from './framework-error.ts';
import { Routes } from './routes.ts';

const NO_TARGETS: DeploymentTargets = { near: [], far: [] };

/** From a path to its deployment's queue, by the newest routing table. */
export class Dispatcher {
  readonly #random: () => number;
  readonly #queues = new Map<string, DeploymentQueue>();
  #routes = new Routes({ deployments: [] });

  /** @param random uniform in [0, 1) */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** Without leading slash. */
  get routes(): readonly string[] {
    return this.#routes.names;
  }

  get counts(): readonly DeploymentCounts[] {
    return [...this.#queues.values()].map((queue) => queue.counts);
  }

  get samples(): readonly DeploymentSample[] {
    return [...this.#queues.values()].map((queue) => queue.sample);
  }

  /** @returns null where no route fits */
  find(path: string): DeploymentQueue | null {
    const route = this.#routes.find(path);
    return route === null ? null : (this.#queues.get(route.deployment) ?? null);
  }

  /** Who waits for a deployment that is gone is told so. */
  adopt(table: RoutingTable, targets: ReadonlyMap<string, DeploymentTargets>): void {
    this.#routes = new Routes(table);
    const gone = new Set(this.#queues.keys());
    for (const route of table.deployments) {
      gone.delete(route.deployment);
      const queue = this.#queues.get(route.deployment) ?? new DeploymentQueue(route, this.#random);
      this.#queues.set(route.deployment, queue);
      const { near, far } = targets.get(route.deployment) ?? NO_TARGETS;
      queue.adopt(route, near, far);
    }
    for (const deployment of gone) {
      const message = 'it was removed from the cluster';
      this.#queues.get(deployment)?.rejectAll(notReady(deployment, { state: 'unplaced', message }));
      this.#queues.delete(deployment);
    }
  }

  /** There may be room at a replica of this deployment. */
  pump(deployment: string): void {
    this.#queues.get(deployment)?.pump();
  }
}
