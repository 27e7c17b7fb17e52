import type { PieceSet } from '../../lib/content/pieces.ts';

/** Who has which pieces of a content, as it was heard last. */
export interface Peer {
  readonly nodeId: string;
  /** `host:port` of its content server */
  readonly address: string;
  readonly held: PieceSet;
}

interface KnownPeer extends Peer {
  readonly heardAtMs: number;
}

/** One that fetches is heard every second or so; one that has everything says so once. */
const FETCHING_TTL_MS = 5_000;
const COMPLETE_TTL_MS = 600_000;
/** A piece that was sent and is not reported within this time counts as not sent. */
const SENT_TTL_MS = 10_000;
const PEERS_TOLD = 24;

export interface PieceRequest {
  readonly nodeId: string;
  readonly wanted: PieceSet;
  /** pieces of this content on their way from here to anybody */
  readonly activeStreams: number;
  readonly nowMs: number;
  /** 0 to below 1 */
  readonly random: number;
}

/**
 * What a node that has a whole content knows of those that fetch it, so that each piece leaves it once: nodes get the
 * rest from each other. Decides only; the server around it sends.
 */
export class Swarm {
  readonly #peers = new Map<string, KnownPeer>();
  readonly #sent = new Map<number, { readonly nodeId: string; readonly atMs: number }>();

  /** Takes in what a node says that it holds. */
  announce(peer: Peer, nowMs: number): void {
    this.#peers.set(peer.nodeId, { ...peer, heardAtMs: nowMs });
    for (const [nodeId, known] of this.#peers) if (!isHeard(known, nowMs)) this.#peers.delete(nodeId);
  }

  /** Some of the others that hold anything, at random where there are many. */
  peersOf(nodeId: string, nowMs: number, random: () => number): readonly Peer[] {
    const others = [...this.#peers.values()].filter(
      (peer) => peer.nodeId !== nodeId && peer.held.count > 0 && isHeard(peer, nowMs),
    );
    for (let last = others.length - 1; last > 0; last -= 1) {
      const other = Math.floor(random() * (last + 1));
      const swapped = others[last];
      const taken = others[other];
      if (swapped !== undefined && taken !== undefined) {
        others[last] = taken;
        others[other] = swapped;
      }
    }
    return others.slice(0, PEERS_TOLD);
  }

  /**
   * Which of the wanted pieces to send: one that no other node has or is being sent. Where there is none, any one as
   * long as nothing else is being sent from here: then it costs nobody anything.
   * @returns null: the node gets them from others sooner
   */
  choose(request: PieceRequest): number | null {
    const wanted = [...request.wanted.members()];
    const fresh = wanted.filter((piece) => !this.#isSpread(piece, request));
    const from = fresh.length > 0 ? fresh : request.activeStreams === 0 ? wanted : [];
    const chosen = from[Math.floor(request.random * from.length)];
    if (chosen === undefined) return null;
    this.#sent.set(chosen, { nodeId: request.nodeId, atMs: request.nowMs });
    return chosen;
  }

  #isSpread(piece: number, { nodeId, nowMs }: PieceRequest): boolean {
    const sent = this.#sent.get(piece);
    if (sent !== undefined && sent.nodeId !== nodeId && nowMs - sent.atMs < SENT_TTL_MS) {
      const receiver = this.#peers.get(sent.nodeId);
      if (receiver !== undefined && isHeard(receiver, nowMs)) return true;
    }
    for (const peer of this.#peers.values()) {
      if (peer.nodeId !== nodeId && peer.held.has(piece) && isHeard(peer, nowMs)) return true;
    }
    return false;
  }
}

function isHeard(peer: KnownPeer, nowMs: number): boolean {
  return nowMs - peer.heardAtMs < (peer.held.isFull ? COMPLETE_TTL_MS : FETCHING_TTL_MS);
}

/** A node that pieces can be asked of. */
export interface PieceSource {
  readonly peer: Peer;
  /** requests to it that are under way */
  readonly inFlight: number;
}

/**
 * The piece to ask of a peer next, and of which: a wanted one at random, so that nodes which fetch together soon hold
 * different ones; the least busy of those who hold it.
 * @param random 0 to below 1
 * @returns null when no peer that is free holds any of them
 */
export function choosePeerPiece<Source extends PieceSource>(
  wanted: PieceSet,
  sources: readonly Source[],
  limits: { readonly perPeer: number; readonly random: number },
): { readonly piece: number; readonly source: Source } | null {
  const free = sources.filter((source) => source.inFlight < limits.perPeer);
  if (free.length === 0) return null;
  const start = Math.floor(limits.random * wanted.size);
  for (let step = 0; step < wanted.size; step += 1) {
    const piece = (start + step) % wanted.size;
    if (!wanted.has(piece)) continue;
    const holders = free.filter(({ peer }) => peer.held.has(piece));
    const fewest = Math.min(...holders.map((source) => source.inFlight));
    const source = holders.find((holder) => holder.inFlight === fewest);
    if (source !== undefined) return { piece, source };
  }
  return null;
}
