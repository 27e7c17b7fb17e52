import type { TokenDesk, TokenState } from '../../admin/types.ts';
import { keyIdOf, newToken } from '../../config/token.ts';
import { sealToken, tokensOf } from '../../config/token-ring.ts';
import type { TokenMaker } from '../../controller/rotations.ts';
import { ServeError } from '../../lib/errors.ts';
import type { StoreKind } from '../../store/types.ts';
import { whileLeading } from '../admin-backend.ts';
import type { Control, Ground } from '../head-parts.ts';
import type { NodeTokens } from './node-tokens.ts';

/** This head's tokens as the leader needs them. */
export function tokenMaker(tokens: NodeTokens): TokenMaker {
  return {
    propose: () => {
      const { shown } = tokens.ring;
      const made = newToken(tokens.clusterId);
      return { from: keyIdOf(shown), to: keyIdOf(made), sealed: sealToken(made, shown) };
    },
    get inUse() {
      return tokensOf(tokens.ring).map(keyIdOf);
    },
  };
}

/** The replacement of the token as the admin API wants it. */
export function tokenDesk(
  {
    paths,
    tokens,
    storeKind,
  }: Pick<Ground, 'paths' | 'tokens'> & {
    readonly storeKind: StoreKind;
  },
  { leader, rotations, plane }: Pick<Control, 'leader' | 'rotations' | 'plane'>,
): TokenDesk {
  const state = (): TokenState => ({
    ...{ cluster: tokens.clusterId, id: tokens.use.shows, file: paths.token },
    store: storeKind === 'external' ? 'given' : 'own',
    rotation: rotationState(rotations),
  });
  const requireLeading = async (): Promise<void> => {
    await whileLeading(plane);
    if (leader.leadership === null || !rotations.isOf(leader.leadership)) throw notLeading();
  };
  const wish = async (ask: () => Promise<unknown>): Promise<TokenState> => {
    await requireLeading();
    const granted = ask();
    leader.wake();
    await granted;
    return state();
  };
  return {
    read: async () => {
      await requireLeading();
      return state();
    },
    rotate: async (timeoutMs) => await wish(async () => await rotations.start(timeoutMs)),
    cancel: async () => await wish(async () => await rotations.cancel()),
  };
}

function rotationState({ rotation, nodes }: Control['rotations']): TokenState['rotation'] {
  if (rotation === null) return null;
  const { from, to, phase, reason, startedAtMs } = rotation;
  return {
    ...{ from, to, phase, reason, startedAt: new Date(startedAtMs).toISOString() },
    nodes: nodes.map(({ nodeId, hasFollowed }) => ({ node: nodeId, done: hasFollowed })),
  };
}

function notLeading(): ServeError {
  return new ServeError(
    'this head does not lead the cluster at the moment: its store is away, or an election is going on. Try again.',
    { code: 'NOT_LEADER' },
  );
}
