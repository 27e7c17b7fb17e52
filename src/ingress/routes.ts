import type { DeploymentRoute, RoutingTable } from '../cluster/routing/types.ts';

/** Finds a path's deployment in a time that depends on neither the number of routes nor that of deployments. */
export class Routes {
  readonly #byRoute: ReadonlyMap<string, DeploymentRoute>;
  /** segments of the longest route: what lies beyond in a path needs no look */
  readonly #depth: number;

  constructor(table: Pick<RoutingTable, 'deployments'>) {
    this.#byRoute = new Map(table.deployments.map((deployment) => [deployment.route, deployment]));
    this.#depth = Math.max(0, ...table.deployments.map(({ route }) => route.split('/').length));
  }

  get names(): readonly string[] {
    return [...this.#byRoute.keys()];
  }

  /**
   * The deployment whose route is the path, or the longest beginning of it that ends at a slash.
   * @param path as sent, without query; `%41` and the like are understood
   */
  find(path: string): DeploymentRoute | null {
    return this.#longest(path.includes('%') ? decoded(path) : path);
  }

  #longest(path: string): DeploymentRoute | null {
    let candidate = this.#cutToDepth(path);
    for (;;) {
      const found = this.#byRoute.get(candidate);
      if (found !== undefined) return found;
      const slash = candidate.lastIndexOf('/');
      if (slash < 0) return null;
      candidate = candidate.slice(0, slash);
    }
  }

  #cutToDepth(path: string): string {
    let end = 0;
    for (let segment = 0; segment < this.#depth; segment += 1) {
      end = path.indexOf('/', end + 1);
      if (end < 0) return path.slice(1);
    }
    return path.slice(1, end);
  }
}

/** The path as it reads; as it was sent where that is not UTF-8. */
function decoded(path: string): string {
  try {
    return decodeURI(path);
  } catch {
    return path;
  }
}
