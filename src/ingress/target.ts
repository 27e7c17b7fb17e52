import type { EncodedHead } from '../channel/messages.ts';
import type { ClientStream, StreamListener } from '../channel/streams.ts';
import type { Load } from '../cluster/routing/choose.ts';

/** The way to a replica: a channel on this node, or a link to its node. */
export interface Carrier {
  /** how many calls the replica takes at once; 0 while it can take none */
  readonly limit: number;
  open(head: EncodedHead, end: boolean, listener: StreamListener): ClientStream;
}

const FIRST_REST_MS = 10;
const LONGEST_REST_MS = 320;

/**
 * A replica that may serve. Counts what this ingress has there; one that refused rests for a moment (longer with each
 * refusal in a row), because somebody else fills it or its state is on its way here.
 */
export class Target implements Load {
  readonly replicaId: string;
  readonly nodeId: string;
  readonly #carrier: Carrier;
  /** there may be room now */
  readonly #onRoom: () => void;
  #inFlight = 0;
  #restMs = 0;
  #rest: NodeJS.Timeout | null = null;

  constructor(
    place: { readonly replicaId: string; readonly nodeId: string },
    carrier: Carrier,
    onRoom: () => void,
  ) {
    this.replicaId = place.replicaId;
    this.nodeId = place.nodeId;
    this.#carrier = carrier;
    this.#onRoom = onRoom;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get limit(): number {
    return this.#rest === null ? this.#carrier.limit : 0;
  }

  /** It can be reached and says that it is ready, be it full or resting. */
  get isUp(): boolean {
    return this.#carrier.limit > 0;
  }

  /** Sends a request there; each is given back by `release`. */
  open(head: EncodedHead, end: boolean, listener: StreamListener): ClientStream {
    this.#inFlight += 1;
    return this.#carrier.open(head, end, listener);
  }

  /** A request has left: it was served, failed or was cancelled. */
  release(): void {
    this.#inFlight -= 1;
    this.#restMs = 0;
    this.#wake();
    this.#onRoom();
  }

  /** A request came back, refused. */
  releaseRefused(): void {
    this.#inFlight -= 1;
    this.#restMs = Math.min(LONGEST_REST_MS, Math.max(FIRST_REST_MS, this.#restMs * 2));
    this.#wake();
    this.#rest = setTimeout(() => {
      this.#rest = null;
      this.#onRoom();
    }, this.#restMs);
  }

  /** Ends its timer; for when nothing is sent there any more. */
  close(): void {
    this.#wake();
  }

  #wake(): void {
    if (this.#rest !== null) clearTimeout(this.#rest);
    this.#rest = null;
  }
}
