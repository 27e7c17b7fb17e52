/** Models of a replica that are still on their way to this node. */
export interface Coming {
  readonly line: string;
  readonly failure: Error | null;
}

export interface ModelWatchHandlers {
  /** null: nothing is on its way */
  readonly coming: () => Coming | null;
  /** how far they are */
  readonly onLine: (line: string) => void;
  /** all of them are here now */
  readonly onWhole: () => void;
  /** one of them cannot be had */
  readonly onFailure: (failure: Error) => void;
}

const LOOK_MS = 1_000;

/** Follows models that come while a replica loads them. */
export class ModelWatch {
  readonly #handlers: ModelWatchHandlers;
  readonly #looking: NodeJS.Timeout;
  #wasComing: boolean;

  constructor(handlers: ModelWatchHandlers) {
    this.#handlers = handlers;
    this.#wasComing = handlers.coming() !== null;
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
  }

  /** false: the replica has nothing to read that is not there, and its time counts */
  get areComing(): boolean {
    return this.#handlers.coming() !== null;
  }

  /** Why one of them cannot be had; null: nothing is known against them. */
  get failure(): Error | null {
    return this.#handlers.coming()?.failure ?? null;
  }

  /** Idempotent. */
  stop(): void {
    clearInterval(this.#looking);
  }

  #look(): void {
    const coming = this.#handlers.coming();
    const cameWhole = coming === null && this.#wasComing;
    this.#wasComing = coming !== null;
    if (cameWhole) this.#handlers.onWhole();
    if (coming === null) return;
    if (coming.failure === null) this.#handlers.onLine(coming.line);
    else this.#handlers.onFailure(coming.failure);
  }
}
