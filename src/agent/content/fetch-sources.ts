import type { PieceSet } from '../../lib/content/pieces.ts';
import { choosePeerPiece, type Peer, type PieceSource } from './swarm.ts';

/** Requests to one peer at a time: it has others to serve. */
const PER_PEER = 2;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

interface KnownSource extends PieceSource {
  peer: Peer;
  inFlight: number;
  failures: number;
  /** nothing is asked of it before then */
  blockedUntilMs: number;
}

/** The other nodes that hold pieces of one content, as far as they are known; those that fail are left alone for a while. */
export class FetchSources {
  readonly #known = new Map<string, KnownSource>();
  /** nodes that gave a piece, for a person who watches */
  readonly givers = new Set<string>();

  /** What was heard of a peer last replaces what was known. */
  learn(peers: readonly Peer[]): void {
    for (const peer of peers) {
      const known = this.#known.get(peer.nodeId);
      if (known === undefined) {
        this.#known.set(peer.nodeId, { peer, inFlight: 0, failures: 0, blockedUntilMs: 0 });
      } else known.peer = peer;
    }
  }

  get count(): number {
    return this.#known.size;
  }

  /** Nobody is believed any more: what came from somebody was not what it should be. */
  distrustAll(): void {
    for (const source of this.#known.values()) source.blockedUntilMs = Number.POSITIVE_INFINITY;
  }

  choose(
    wanted: PieceSet,
    nowMs: number,
    random: number,
  ): { readonly piece: number; readonly source: PieceSource } | null {
    const willing = [...this.#known.values()].filter((source) => source.blockedUntilMs <= nowMs);
    return choosePeerPiece(wanted, willing, { perPeer: PER_PEER, random });
  }

  begun(source: PieceSource): void {
    this.#of(source).inFlight += 1;
  }

  gave(source: PieceSource): void {
    const known = this.#of(source);
    known.inFlight -= 1;
    known.failures = 0;
    this.givers.add(known.peer.nodeId);
  }

  failed(source: PieceSource, nowMs: number): void {
    const known = this.#of(source);
    known.inFlight -= 1;
    known.failures += 1;
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** known.failures);
    known.blockedUntilMs = Math.max(known.blockedUntilMs, nowMs + pauseMs);
  }

  #of(source: PieceSource): KnownSource {
    return this.#known.get(source.peer.nodeId) ?? { ...source, failures: 0, blockedUntilMs: 0 };
  }
}
