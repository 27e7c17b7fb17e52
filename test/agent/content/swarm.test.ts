import fc from 'fast-check';
import { expect, test } from 'vitest';
import { choosePeerPiece, type Peer, Swarm } from '../../../src/agent/content/swarm.ts';
import { PieceSet } from '../../../src/lib/content/pieces.ts';

interface SimNode extends Peer {
  readonly held: PieceSet;
  dead: boolean;
  peers: readonly Peer[];
}

/** A world of rounds: in each, every node tells the head what it holds, and gets one piece of the head and one of a peer. */
function spread(
  size: number,
  nodeCount: number,
  seed: () => number,
  upset: (round: number, nodes: SimNode[]) => void,
) {
  let swarm = new Swarm();
  let fromHead = 0;
  const nodes: SimNode[] = Array.from({ length: nodeCount }, (_, index) => ({
    ...{ nodeId: `n${index}`, address: `n${index}:1`, held: new PieceSet(size), dead: false, peers: [] },
  }));
  const missing = (node: SimNode): PieceSet => {
    const wanted = new PieceSet(size);
    for (let piece = 0; piece < size; piece += 1) if (!node.held.has(piece)) wanted.add(piece);
    return wanted;
  };
  const living = (): SimNode[] => nodes.filter((node) => !node.dead);
  let round = 0;
  for (; living().some((node) => !node.held.isFull) && round < 40 * size + 200; round += 1) {
    const nowMs = round * 1_000;
    upset(round, nodes);
    for (const node of living()) {
      const held = PieceSet.decode(node.held.encode(), size);
      swarm.announce({ nodeId: node.nodeId, address: node.address, held }, nowMs);
      node.peers = swarm.peersOf(node.nodeId, nowMs, seed);
    }
    let activeStreams = 0;
    for (const node of living()) {
      const request = { nodeId: node.nodeId, wanted: missing(node), activeStreams, nowMs, random: seed() };
      const piece = swarm.choose(request);
      if (piece !== null) {
        node.held.add(piece);
        activeStreams += 1;
        fromHead += 1;
      }
      const sources = node.peers.map((peer) => ({ peer, inFlight: 0 }));
      const choice = choosePeerPiece(missing(node), sources, { perPeer: 1, random: seed() });
      const giver = nodes.find(({ nodeId }) => nodeId === choice?.source.peer.nodeId);
      if (choice !== null && giver !== undefined && !giver.dead) {
        expect(giver.held.has(choice.piece)).toBe(true);
        node.held.add(choice.piece);
      }
    }
    if (round === 3 && seed() < 0.3) swarm = new Swarm(); // the head has started anew and knows nobody
  }
  return { fromHead, living: living(), rounds: round };
}

const random = (numbers: readonly number[]): (() => number) => {
  let at = 0;
  return () => numbers[at++ % numbers.length] ?? 0;
};
const seeds = fc.array(fc.double({ min: 0, max: 0.999999, noNaN: true }), { minLength: 50, maxLength: 50 });

test('every node that lives gets every piece, whoever dies meanwhile and whatever the head forgets', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 30 }),
      fc.integer({ min: 1, max: 7 }),
      seeds,
      (size, count, numbers) => {
        const next = random(numbers);
        const { living } = spread(size, count, next, (_round, nodes) => {
          const victim = nodes[Math.floor(next() * nodes.length)];
          if (next() < 0.1 && victim !== undefined && nodes.filter((node) => !node.dead).length > 1)
            victim.dead = true;
        });
        for (const node of living) expect(node.held.isFull).toBe(true);
      },
    ),
    { numRuns: 60 },
  );
});

test('while nobody dies, hardly more than one copy leaves the head, however many fetch', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 40, max: 80 }),
      fc.integer({ min: 2, max: 8 }),
      seeds,
      (size, count, numbers) => {
        const noRestart = random(numbers.map((number) => 0.3 + number * 0.7));
        const { fromHead, rounds } = spread(size, count, noRestart, () => undefined);
        expect(fromHead).toBeLessThanOrEqual(size + rounds); // an idle head may help once a round
        expect(fromHead).toBeLessThan(2 * size + count);
      },
    ),
    { numRuns: 60 },
  );
});

test('a piece under way to another is not sent again, unless nothing else is being sent', () => {
  const swarm = new Swarm();
  const wanted = PieceSet.full(1);
  for (const nodeId of ['a', 'b']) {
    swarm.announce({ nodeId, address: nodeId, held: new PieceSet(1) }, 0);
  }
  const ask = (nodeId: string, activeStreams: number, nowMs: number): number | null =>
    swarm.choose({ nodeId, wanted, activeStreams, nowMs, random: 0 });
  expect(ask('a', 0, 0)).toBe(0);
  expect(ask('b', 1, 100)).toBeNull();
  expect(ask('b', 0, 100)).toBe(0);
});

test('what was sent to a node that is not heard of any more counts as not sent', () => {
  const swarm = new Swarm();
  swarm.announce({ nodeId: 'a', address: 'a', held: new PieceSet(1) }, 0);
  const wanted = PieceSet.full(1);
  expect(swarm.choose({ nodeId: 'a', wanted, activeStreams: 0, nowMs: 0, random: 0 })).toBe(0);
  expect(swarm.choose({ nodeId: 'b', wanted, activeStreams: 1, nowMs: 6_000, random: 0 })).toBe(0);
});

test('of peers that hold a piece the least busy one is asked, and none beyond its limit', () => {
  const full = PieceSet.full(4);
  const sources = ['a', 'b'].map((nodeId, index) => ({
    peer: { nodeId, address: nodeId, held: full },
    inFlight: 1 - index,
  }));
  expect(choosePeerPiece(full, sources, { perPeer: 2, random: 0.6 })).toMatchObject({
    piece: 2,
    source: { peer: { nodeId: 'b' } },
  });
  expect(choosePeerPiece(full, sources.slice(0, 1), { perPeer: 1, random: 0 })).toBeNull();
  expect(choosePeerPiece(new PieceSet(4), sources, { perPeer: 2, random: 0 })).toBeNull();
});
