/** A request whose replica died with it, and that was given up. */
export interface Casualty {
  readonly requestId: string;
  readonly deployment: string;
  readonly path: string;
  /** replicas that died while it was there */
  readonly deaths: number;
  readonly atMs: number;
}

const KEPT = 100;

/** The last requests that were given up because replicas died with them: who looks for a query of death starts here. */
export class Casualties {
  readonly #list: Casualty[] = [];

  add(casualty: Casualty): void {
    this.#list.push(casualty);
    if (this.#list.length > KEPT) this.#list.shift();
  }

  /** Oldest first. */
  get list(): readonly Casualty[] {
    return [...this.#list];
  }
}
