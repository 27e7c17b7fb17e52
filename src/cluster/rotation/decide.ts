import type { RotatingNode, Rotation, RotationPhase, TokenPair } from './types.ts';

/** What follows a phase that every live node has followed; null: the end. */
const NEXT: Readonly<Record<RotationPhase, RotationPhase | null>> = {
  accept: 'use',
  use: 'drop',
  drop: null,
  back: 'restore',
  restore: null,
};

/** How a phase is left by who turns round; null: there is no way back. */
const RETREAT: Readonly<Record<RotationPhase, RotationPhase | null>> = {
  accept: 'restore',
  use: 'back',
  drop: null,
  back: null,
  restore: null,
};

/** Names a phase of a rotation: nodes say by it which they have followed. */
export function stepOf({ from, to, phase }: Rotation): string {
  return `${from} ${to} ${phase ?? 'ended'}`;
}

/** Live nodes that have not followed the phase. Those that are not there are not waited for: they hear of it when they are back. */
export function waitedFor(rotation: Rotation, nodes: readonly RotatingNode[]): readonly string[] {
  const step = stepOf(rotation);
  return nodes.filter(({ isAlive, tokens }) => isAlive && tokens?.step !== step).map(({ nodeId }) => nodeId);
}

/**
 * The next state of a rotation.
 * @returns null: it stays as it is
 */
export function advance(rotation: Rotation, nodes: readonly RotatingNode[], nowMs: number): Rotation | null {
  const { phase, phaseSinceMs, timeoutMs } = rotation;
  if (phase === null) return null;
  const waiting = waitedFor(rotation, nodes);
  if (waiting.length === 0) return inPhase(rotation, NEXT[phase], nowMs);
  if (nowMs - phaseSinceMs < timeoutMs) return null;
  const named = `${waiting.length === 1 ? 'node' : 'nodes'} ${waiting.join(', ')}`;
  return turned(rotation, `${named} did not follow within ${Math.round(timeoutMs / 1000)} s`, nowMs);
}

/** A rotation on its way back. @returns null where it does not go forward, or there is no way back any more */
export function turned(rotation: Rotation, reason: string, nowMs: number): Rotation | null {
  const phase = rotation.phase === null ? null : RETREAT[rotation.phase];
  return phase === null ? null : { ...inPhase(rotation, phase, nowMs), reason };
}

function inPhase(rotation: Rotation, phase: RotationPhase | null, nowMs: number): Rotation {
  const sealed = phase === null ? null : rotation.sealed;
  return { ...rotation, phase, sealed, phaseSinceMs: nowMs };
}

/** The tokens that a node uses in a phase. */
export function tokensIn(phase: RotationPhase, { from, to }: { from: string; to: string }): TokenPair {
  switch (phase) {
    case 'accept':
    case 'back':
      return { shown: from, other: to };
    case 'use':
      return { shown: to, other: from };
    case 'drop':
      return { shown: to, other: null };
    case 'restore':
      return { shown: from, other: null };
  }
}
