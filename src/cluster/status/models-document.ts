/** A model that a node keeps, or has a part of. */
export interface ModelStatus {
  /** SHA-256 by which it is kept; null while its content is not known */
  readonly hash: string | null;
  /** URIs without their query, and names below Model_ZOO; empty where nothing says any more */
  readonly names: readonly string[];
  readonly size_bytes: number;
  /** of a part: what there will be in all, null where nobody has said; of a whole model its size */
  readonly total_bytes: number | null;
  readonly is_whole: boolean;
  /** ISO 8601 */
  readonly last_used: string;
  /** deployments that run with it, are assigned here with it, or are about to */
  readonly used_by: readonly string[];
  /** a recorded revision names it */
  readonly is_recorded: boolean;
}

/** A model that is being fetched from a server or a store. */
export interface FetchStatus {
  readonly node: string;
  readonly model: string;
  readonly fetched_bytes: number;
  readonly total_bytes: number | null;
  readonly bytes_per_second: number;
  readonly seconds_left: number | null;
}

/** What a node keeps of models. */
export interface NodeModels {
  readonly node: string;
  /** `--model-cache`; null: as much as the disk has */
  readonly limit_bytes: number | null;
  readonly models: readonly ModelStatus[];
}

/** `GET /api/v1/models`: what a node keeps, the head where no other is asked for, and what is on its way. */
export interface ModelsDocument extends NodeModels {
  readonly fetches: readonly FetchStatus[];
  /** what nodes prepare for replicas, in their words: fetches from other nodes among it */
  readonly preparing: readonly {
    readonly node: string;
    readonly deployment: string;
    readonly message: string;
  }[];
}
