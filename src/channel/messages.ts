import type { JsonValue } from '../lib/json.ts';

/**
 * JSON payloads of the channel's frames, one type per frame. Field names are snake_case because Python reads them as
 * they are. docs/channel.md says which frame may follow which.
 */

/** First frame of whoever connects. A link also proves the link key (see `link_mac`). */
export interface ConnectorHello {
  readonly protocol: number;
  readonly role: 'agent' | 'ingress' | 'link';
  /** node id of the connector */
  readonly node: string;
}

/** First frame of a link's connector: a challenge to whoever answers. */
export interface LinkHello extends ConnectorHello {
  readonly role: 'link';
  /** 32 random bytes in hex, made for this connection */
  readonly nonce: string;
}

/** Answer of an ingress to a LinkHello: proves the link key and challenges the connector in turn. */
export interface LinkChallenge {
  readonly protocol: number;
  readonly role: 'ingress';
  readonly node: string;
  readonly nonce: string;
  /** HMAC-SHA-256 in hex under the link key; see link-auth.ts for what it covers */
  readonly link_mac: string;
}

/** Second hello of a link's connector; only after it are requests legal. */
export interface LinkProof {
  readonly link_mac: string;
}

/** Payload of goaway. */
export interface GoAway {
  readonly reason: string;
}

/** Answer of a replica. */
export interface ReplicaHello {
  readonly protocol: number;
  readonly role: 'replica';
  readonly replica: string;
  readonly deployment: string;
  readonly pid: number;
  readonly state: ReplicaState;
}

export interface ReplicaState {
  readonly phase: 'starting' | 'ready' | 'draining' | 'failed';
  readonly max_ongoing: number;
  /** calls begun and not finished */
  readonly ongoing: number;
  /** how long the import and the constructors took; null until ready, missing from runners before it was told */
  readonly load?: LoadTimes | null;
  /** set when phase is failed */
  readonly error: { readonly message: string; readonly traceback: string } | null;
}

export interface LoadTimes {
  readonly import_ms: number;
  /** of the class with its models, `init` and the first `reconfigure` */
  readonly construct_ms: number;
}

export interface RequestHead {
  readonly id: string;
  /** which replica shall serve it; a link's far end looks it up, a replica refuses what is not its own; '': the far node itself */
  readonly replica: string;
  readonly method: string;
  /** path as sent, without query */
  readonly path: string;
  /** raw query string without `?` */
  readonly query: string;
  readonly scheme: 'http' | 'https';
  readonly headers: readonly (readonly [string, string])[];
  readonly client: readonly [string, number] | null;
  /** what is left of the request's deadline when this leaves */
  readonly timeout_ms: number;
  /** whether a traceback may go to the client */
  readonly expose_errors: boolean;
  /** the answer's head shall have `user_us`; the last field where it is there */
  readonly timed?: true;
}

/** A request's head as it goes out. */
export interface EncodedHead {
  /** as in the head */
  readonly replica: string;
  /** the JSON of a RequestHead */
  readonly text: string;
}

export function encodeHead(head: RequestHead): EncodedHead {
  return { replica: head.replica, text: JSON.stringify(head) };
}

export interface ResponseHead {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  /** false: user code failed, or its result says `status: 0`; counts as an application error */
  readonly ok: boolean;
  /** for a request that was `timed`: how many microseconds it was in user code by now */
  readonly user_us?: number;
}

/** The request was not begun; it may go elsewhere at no cost. */
export interface Refusal {
  readonly reason: 'full' | 'draining' | 'not_ready' | 'unknown_replica';
}

/** The stream ended without (the rest of) its response. */
export interface StreamFailure {
  readonly code: string;
  readonly info: string;
  /** link only: the replica died with the request; true counts as a death for retries */
  readonly died?: boolean;
}

/** Agent to replica; each is answered by one `result` on the same stream. */
export type ControlRequest =
  | { readonly op: 'reconfigure'; readonly config: JsonValue }
  | { readonly op: 'limits'; readonly max_ongoing: number; readonly concurrency: number }
  | { readonly op: 'health' }
  | { readonly op: 'dump_stacks' }
  /** refuse what is new (goaway to every connection), finish what runs, call shutdown(), exit 0 */
  | { readonly op: 'drain'; readonly grace_ms: number };

export interface ControlResult {
  readonly ok: boolean;
  /** reconfigure: the class has no such method */
  readonly unsupported?: boolean;
  readonly error?: string;
}

/** Replica to every connection, on stream 0, at each change of state; `beat` every 500 ms besides. */
export type Notification =
  | { readonly event: 'state'; readonly state: ReplicaState }
  | { readonly event: 'beat'; readonly ongoing: number }
  /** to agents only, with a beat, where calls have ended since the last one; counts since the process began */
  | ({ readonly event: 'work' } & WorkReport)
  /** link only: which replicas of the far node can serve now, and how many calls each lets in */
  | { readonly event: 'replicas'; readonly ready: readonly ReadyReplica[] };

/** What calls have taken in user code. `buckets`: index and count in turn, of those that are not empty. */
export interface WorkReport {
  /** how long each was there (of a batch each of its calls), in the buckets of cluster/metrics/histogram.ts */
  readonly times: { readonly sum_s: number; readonly buckets: readonly number[] };
  /** how many calls were in each batch, in the buckets of cluster/metrics/sizes.ts */
  readonly batches: { readonly sum: number; readonly buckets: readonly number[] };
}

export interface ReadyReplica {
  readonly replica: string;
  readonly max_ongoing: number;
}
