import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import type { ReplicaState } from '../../channel/messages.ts';
import { ServeError } from '../../lib/errors.ts';
import { LONGEST_TIMER_MS, within } from '../within.ts';
import { note } from './note.ts';
import type { Replica } from './replica.ts';
import { DRAINING, ReplicaConnection } from './replica-connection.ts';

const BEAT_INTERVAL_MS = 500;
/** How long the last frames may take to leave. */
const CLOSE_MS = 1_000;
/** An ingress that has not answered by then (it is stopped, say) is not waited for any longer. */
const AWARE_LIMIT_MS = 5_000;
/** Grace of a drain that nobody asked for: no agent has claimed the replica, or SIGTERM. */
export const OWN_DRAIN_GRACE_MS = 30_000;

/** Listens on the replica's Unix socket, tells every connection of changes, and ends a replica that no agent claims. */
export class ReplicaServer {
  readonly #replica: Replica;
  readonly #server: Server;
  readonly #connections = new Set<ReplicaConnection>();
  #beat: NodeJS.Timeout | null = null;
  #orphanTimer: NodeJS.Timeout | null = null;
  #onAgent: (() => void) | null = null;
  #hadAgent = false;
  #awareTimer: NodeJS.Timeout | null = null;
  /** how many calls agents know of */
  #toldCount = 0;

  constructor(replica: Replica) {
    this.#replica = replica;
    this.#server = createServer((socket) => {
      const connection = new ReplicaConnection(socket, replica, {
        onHello: (greeted) => {
          if (replica.callCount > 0) this.#tellWork([greeted]);
          this.#watchForOrphan();
        },
        onClose: (closed) => {
          this.#connections.delete(closed);
          this.#watchForOrphan();
          this.#checkAware();
        },
        onAware: () => this.#checkAware(),
      });
      this.#connections.add(connection);
    });
    replica.watch((state) => this.#announce(state));
  }

  /** @throws ServeError LISTEN_FAILED; a socket file that an earlier process left is replaced */
  async listen(): Promise<void> {
    const path = this.#replica.launch.socket;
    rmSync(path, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (cause) => {
        reject(
          new ServeError(`cannot listen on ${path}: ${cause.message}`, { code: 'LISTEN_FAILED' }, { cause }),
        );
      });
      this.#server.listen(path, resolve);
    });
    chmodSync(path, 0o600);
    this.#beat = setInterval(() => this.#sendBeat(), BEAT_INTERVAL_MS);
    this.#watchForOrphan();
  }

  /** Waits until an agent has ever been connected: false after `timeoutMs`. */
  async hadAgentWithin(timeoutMs: number): Promise<boolean> {
    if (this.#hadAgent) return true;
    const arrived = new Promise<true>((resolve) => {
      this.#onAgent = () => resolve(true);
    });
    return (await within(timeoutMs, arrived)) ?? false;
  }

  /** Ends every connection after what was sent to it, and removes the socket. Idempotent. */
  async close(): Promise<void> {
    if (this.#beat !== null) clearInterval(this.#beat);
    if (this.#orphanTimer !== null) clearTimeout(this.#orphanTimer);
    if (this.#awareTimer !== null) clearTimeout(this.#awareTimer);
    this.#awareTimer = null;
    this.#beat = null;
    this.#orphanTimer = null;
    this.#tellWork(this.#greeted());
    const closed = new Promise<true>((resolve) => this.#server.close(() => resolve(true)));
    for (const connection of this.#connections) connection.end();
    if ((await within(CLOSE_MS, closed)) === null) {
      for (const connection of this.#connections) connection.destroy();
    }
  }

  #announce(state: ReplicaState): void {
    for (const connection of this.#greeted()) {
      connection.notify({ event: 'state', state });
      if (state.phase === 'draining') connection.goAway(DRAINING);
    }
    if (state.phase !== 'draining') return;
    this.#awareTimer = setTimeout(() => this.#replica.allAware(), AWARE_LIMIT_MS);
    this.#checkAware();
  }

  #checkAware(): void {
    if (this.#awareTimer === null) return; // nobody was told to go away
    if (!this.#greeted().some((connection) => connection.isUnaware)) this.#replica.allAware();
  }

  #sendBeat(): void {
    const { ongoing } = this.#replica.state;
    for (const connection of this.#greeted()) connection.beat(ongoing);
    if (this.#replica.callCount !== this.#toldCount) this.#tellWork(this.#greeted());
  }

  #tellWork(connections: readonly ReplicaConnection[]): void {
    this.#toldCount = this.#replica.callCount;
    const { work } = this.#replica;
    for (const connection of connections) {
      if (connection.role === 'agent') connection.notify({ event: 'work', ...work });
    }
  }

  #greeted(): readonly ReplicaConnection[] {
    return [...this.#connections].filter((connection) => connection.role !== null);
  }

  /** The timer runs exactly while no agent is connected. */
  #watchForOrphan(): void {
    if (this.#beat === null) return;
    if (this.#greeted().some((connection) => connection.role === 'agent')) {
      this.#hadAgent = true;
      this.#onAgent?.();
      if (this.#orphanTimer !== null) clearTimeout(this.#orphanTimer);
      this.#orphanTimer = null;
      return;
    }
    const timeoutS = this.#replica.launch.orphan_timeout_s;
    const timeoutMs = Math.min(timeoutS * 1_000, LONGEST_TIMER_MS);
    this.#orphanTimer ??= setTimeout(() => {
      note(`no agent has been connected for ${timeoutS} s: the replica ends itself`);
      this.#replica.drain(OWN_DRAIN_GRACE_MS);
    }, timeoutMs);
  }
}
