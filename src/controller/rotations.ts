import { advance, turned, waitedFor } from '../cluster/rotation/decide.ts';
import type { RotatingNode, Rotation } from '../cluster/rotation/types.ts';
import { messageOf, ServeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { EventDraft, FencedWrite, Leadership, Store } from '../store/types.ts';

/** What this head knows of tokens; they themselves stay with it. */
export interface TokenMaker {
  /** a new token for whoever has the one that is in use */
  propose(): Pick<Rotation, 'from' | 'to'> & { readonly sealed: string };
  /** ids of the tokens that this head uses, the one that it shows first */
  readonly inUse: readonly string[];
}

export interface RotationsDependencies {
  readonly store: Pick<Store, 'readRotation' | 'publishRotation'>;
  readonly tokens: TokenMaker;
  readonly log: Log;
  /** a rotation has ended: what the store held of it shall not stay on its disk */
  readonly onEnded: () => Promise<void>;
}

/** What a person asked for, until the leader's next look. */
interface Wish {
  readonly timeoutMs: number | null;
  readonly granted: (rotation: Rotation) => void;
  readonly refused: (error: unknown) => void;
}

/** Nodes that missed the hint of a change hear of it so often. */
const REMIND_MS = 1_000;

/** The leader's part in replacing the cluster's token: takes it through its phases, as its nodes follow. */
export class Rotations {
  readonly #dependencies: RotationsDependencies;
  #rotation: Rotation | null = null;
  #nodes: readonly RotatingNode[] = [];
  #epoch = -1;
  #toldAtMs = 0;
  #wishes: Wish[] = [];

  constructor(dependencies: RotationsDependencies) {
    this.#dependencies = dependencies;
  }

  /** Whether what is said here is of this leadership: a leader reads it in its first look. */
  isOf({ epoch }: Leadership): boolean {
    return this.#epoch === epoch;
  }

  /** As this leader knows it; of a head that stands by it is old. */
  get rotation(): Rotation | null {
    return this.#rotation;
  }

  /** Nodes that are there, and whether they have followed the phase. */
  get nodes(): readonly { readonly nodeId: string; readonly hasFollowed: boolean }[] {
    const rotation = this.#rotation;
    const waiting = rotation === null ? [] : waitedFor(rotation, this.#nodes);
    return this.#nodes
      .filter(({ isAlive }) => isAlive)
      .map(({ nodeId }) => ({ nodeId, hasFollowed: !waiting.includes(nodeId) }));
  }

  /**
   * Begins to replace the token at the leader's next look, which the caller hurries.
   * @param timeoutMs how long live nodes may take to follow a phase before all go back
   * @throws ServeError ROTATION_RUNS, ROTATION_REFUSED
   */
  start(timeoutMs: number): Promise<Rotation> {
    return this.#wish(timeoutMs);
  }

  /** Goes back to the old token. @throws ServeError ROTATION_REFUSED where there is no way back */
  cancel(): Promise<Rotation> {
    return this.#wish(null);
  }

  /** One look of the leader. @throws StoreError */
  async step(leadership: Leadership, nodes: readonly RotatingNode[], nowMs: number): Promise<FencedWrite> {
    this.#nodes = nodes;
    if (this.#epoch !== leadership.epoch) await this.#takeOver(nowMs);
    this.#epoch = leadership.epoch;
    for (const wish of this.#wishes.splice(0)) await this.#grant(wish, leadership, nowMs);
    const rotation = this.#rotation;
    if (rotation === null || rotation.phase === null) return 'written';
    const next = advance(rotation, nodes, nowMs);
    if (next !== null)
      return await this.#write(next, leadership, { nowMs, events: eventsOf(next, rotation) });
    if (nowMs - this.#toldAtMs < REMIND_MS) return 'written';
    return await this.#write(rotation, leadership, { nowMs, events: [] });
  }

  #wish(timeoutMs: number | null): Promise<Rotation> {
    return new Promise((granted, refused) => this.#wishes.push({ timeoutMs, granted, refused }));
  }

  /**
   * What the store has. Where its data are lost while this head uses two tokens, all nodes end with the one that it
   * shows, which all of them accept.
   */
  async #takeOver(nowMs: number): Promise<void> {
    const { store, tokens } = this.#dependencies;
    this.#rotation = await store.readRotation();
    this.#toldAtMs = 0;
    const [from, to] = tokens.inUse;
    if (from === undefined || to === undefined || isOf(this.#rotation, [from, to])) return;
    this.#rotation = {
      ...{ from, to, phase: 'back', reason: 'the store has lost its data meanwhile' },
      ...{ sealed: null, timeoutMs: 0, startedAtMs: nowMs, phaseSinceMs: nowMs },
    };
  }

  async #grant(wish: Wish, leadership: Leadership, nowMs: number): Promise<void> {
    try {
      const wanted = wish.timeoutMs === null ? this.#turn(nowMs) : this.#begin(wish.timeoutMs, nowMs);
      const events = eventsOf(wanted, wish.timeoutMs === null ? this.#rotation : null);
      const written = await this.#write(wanted, leadership, { nowMs, events });
      if (written === 'written') wish.granted(wanted);
      else wish.refused(new ServeError('another head leads the cluster now', { code: 'NOT_LEADER' }));
    } catch (error) {
      wish.refused(error);
    }
  }

  #begin(timeoutMs: number, nowMs: number): Rotation {
    if (this.#rotation?.phase != null) {
      throw new ServeError(
        'the token is being replaced already: see `modelserve token status`, or go back with `modelserve token rotate --cancel`',
        { code: 'ROTATION_RUNS' },
      );
    }
    const silent = this.#nodes.filter(({ isAlive, tokens }) => isAlive && tokens === null);
    if (silent.length > 0) {
      const names = silent.map(({ nodeId }) => nodeId).join(', ');
      throw new ServeError(
        `not all nodes can replace their token while they run: ${names} runs an earlier version. Upgrade it first.`,
        { code: 'ROTATION_REFUSED' },
      );
    }
    const proposed = this.#dependencies.tokens.propose();
    const started = { timeoutMs, startedAtMs: nowMs, phaseSinceMs: nowMs, reason: null };
    return { ...proposed, ...started, phase: 'accept' };
  }

  #turn(nowMs: number): Rotation {
    const rotation = this.#rotation;
    const back = rotation === null ? null : turned(rotation, 'cancelled', nowMs);
    if (back !== null) return back;
    const why =
      rotation?.phase === 'drop'
        ? 'all nodes use the new token, and some have dropped the old one: there is no way back any more'
        : 'there is nothing to cancel: no new token is on its way';
    throw new ServeError(why, { code: 'ROTATION_REFUSED' });
  }

  async #write(
    rotation: Rotation,
    leadership: Leadership,
    { nowMs, events }: { readonly nowMs: number; readonly events: readonly EventDraft[] },
  ): Promise<FencedWrite> {
    const { store, log, onEnded } = this.#dependencies;
    const written = await store.publishRotation(leadership, rotation, events);
    if (written === 'fenced') return written;
    const { from, to, phase, reason } = rotation;
    if (phase !== this.#rotation?.phase) log.info({ from, to, phase, reason }, "the cluster's token");
    this.#rotation = rotation;
    this.#toldAtMs = nowMs;
    if (phase === null)
      await onEnded().catch((error) =>
        log.warn({ error: messageOf(error) }, 'the store keeps a sealed token'),
      );
    return written;
  }
}

/** Whether it is about these tokens, or goes on. */
function isOf(rotation: Rotation | null, tokens: readonly string[]): boolean {
  if (rotation === null) return false;
  return rotation.phase !== null || (tokens.includes(rotation.from) && tokens.includes(rotation.to));
}

/**
 * What of a change is told in the cluster's events; ids of tokens are no secrets.
 * @param before null: it begins
 */
function eventsOf({ from, to, phase, reason }: Rotation, before: Rotation | null): readonly EventDraft[] {
  const fields = { from, to };
  if (before === null) return [{ type: 'token-rotation-started', fields }];
  if (reason !== before.reason) return [{ type: 'token-rotation-turned', fields: { ...fields, reason } }];
  if (phase !== null) return [];
  return [{ type: reason === null ? 'token-rotated' : 'token-rotation-undone', fields }];
}
