/**
 * How far a cluster has come in replacing its token. Forward: `accept` (every node accepts both, and shows the old one),
 * `use` (every node shows the new one), `drop` (the old one is accepted no more). Back, as long as `drop` has not begun:
 * `back` (every node shows the old one again), `restore` (the new one is accepted no more).
 */
export type RotationPhase = 'accept' | 'use' | 'drop' | 'back' | 'restore';

/** The replacement of a token as the store keeps it, the last one after its end as well. Tokens are named by their ids. */
export interface Rotation {
  readonly from: string;
  readonly to: string;
  /** null: it has ended */
  readonly phase: RotationPhase | null;
  /** why it goes back, or went; null: it does not */
  readonly reason: string | null;
  /** the new token, for whoever has the old one; null once it has ended */
  readonly sealed: string | null;
  /** how long live nodes may take to follow a phase before all go back */
  readonly timeoutMs: number;
  readonly startedAtMs: number;
  readonly phaseSinceMs: number;
}

/** What a node says of its token in its record. */
export interface TokenUse {
  /** id of the one that it shows */
  readonly shows: string;
  /** the last step (see stepOf) that all of this node has followed; null: none */
  readonly step: string | null;
}

/** A node as the rotation sees it. */
export interface RotatingNode {
  readonly nodeId: string;
  readonly isAlive: boolean;
  /** null: its version says nothing of it */
  readonly tokens: TokenUse | null;
}

/** The tokens of a node: one, or two while they are replaced. */
export interface TokenPair {
  /** is shown, and accepted */
  readonly shown: string;
  /** is accepted beside it; null: none is */
  readonly other: string | null;
}
