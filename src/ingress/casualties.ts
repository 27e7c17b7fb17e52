import type { Casualty } from '../cluster/replicas/types.ts';

/** Of each node all of them travel with its report: few, and none of them long. */
export const MOST_CASUALTIES = 10;
const PATH_CHARACTERS = 200;

/** The last requests that were given up because replicas died with them: who looks for a query of death starts here. */
export class Casualties {
  readonly #list: Casualty[] = [];

  add(casualty: Casualty): void {
    this.#list.push({ ...casualty, path: casualty.path.slice(0, PATH_CHARACTERS) });
    if (this.#list.length > MOST_CASUALTIES) this.#list.shift();
  }

  /** Oldest first. */
  get list(): readonly Casualty[] {
    return [...this.#list];
  }
}
