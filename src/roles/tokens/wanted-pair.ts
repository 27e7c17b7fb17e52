import { tokensIn } from '../../cluster/rotation/decide.ts';
import type { Rotation, TokenPair } from '../../cluster/rotation/types.ts';
import { keyIdOf } from '../../config/token.ts';
import { openSealedToken, type TokenRing, tokensOf } from '../../config/token-ring.ts';
import { ServeError } from '../../lib/errors.ts';

/**
 * The tokens that a node is to use as the cluster replaces its token.
 * @returns null: those that it has
 * @throws ServeError TOKEN_REPLACED where the token was replaced while this node was away; TOKEN_SEAL
 */
export function wantedPair(rotation: Rotation, ring: TokenRing): TokenPair | null {
  const { from, to, phase, reason } = rotation;
  if (phase === null) return settled(reason === null ? to : from, ring);
  const known = knownTokens(rotation, ring);
  if (known.size === 0) throw replaced();
  const { shown, other } = tokensIn(phase, { from, to });
  const [first, second] = [known.get(shown), known.get(other ?? '') ?? null];
  // Whoever has joined with the new token alone has nothing to go back to, and keeps it.
  const pair = first === undefined ? null : { shown: first, other: second };
  return pair === null || isSame(pair, ring) ? null : pair;
}

/** Tokens of the rotation that this node has or can open, by their ids. */
function knownTokens({ from, to, sealed }: Rotation, ring: TokenRing): ReadonlyMap<string, string> {
  const known = new Map(
    tokensOf(ring)
      .map((token) => [keyIdOf(token), token] as const)
      .filter(([id]) => id === from || id === to),
  );
  const old = known.get(from);
  if (old !== undefined && !known.has(to) && sealed !== null) known.set(to, openSealedToken(sealed, old));
  return known;
}

/** A rotation that has ended leaves one token; what this node has had since counts more than what the store had kept. */
function settled(id: string, ring: TokenRing): TokenPair | null {
  const token = tokensOf(ring).find((one) => keyIdOf(one) === id);
  if (token !== undefined) return ring.other === null ? null : { shown: token, other: null };
  if (ring.past.includes(id)) return null;
  throw replaced();
}

function isSame(pair: TokenPair, ring: TokenRing): boolean {
  return pair.shown === ring.shown && pair.other === ring.other;
}

function replaced(): ServeError {
  return new ServeError(
    "the cluster's token was replaced while this node was away (modelserve token rotate): copy the file `token` from the head's state directory, and start this node with it (--token-file)",
    { code: 'TOKEN_REPLACED' },
  );
}
