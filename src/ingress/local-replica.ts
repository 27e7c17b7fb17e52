import { ReplicaChannel } from '../channel/client.ts';
import type { EncodedHead } from '../channel/messages.ts';
import { Reconnector } from '../channel/reconnect.ts';
import type { ClientStream, StreamListener } from '../channel/streams.ts';
import { codeOf, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { readProcessStat } from '../lib/process/identity.ts';
import type { Carrier } from './target.ts';

const CONNECT_TIMEOUT_MS = 5_000;
/** A replacement shall answer within milliseconds of being ready; a socket that is not there costs next to nothing. */
const MIN_RETRY_MS = 20;
const MAX_RETRY_MS = 500;
/** Beats come every 500 ms: after four that are missing, a look at the process. */
const SUSPECT_AFTER_MS = 2_000;

export interface LocalReplicaOptions {
  readonly replicaId: string;
  readonly socketPath: string;
  readonly nodeId: string;
  /** uniform in [0, 1) */
  readonly random: () => number;
  readonly log: Log;
}

/** A replica of this node: connects to its socket for as long as the routing table names it. */
export class LocalReplica implements Carrier {
  readonly #onChange: () => void;
  readonly #connection: Reconnector<ReplicaChannel>;
  #isSuspect = false;
  #lastProblem = '';

  /** @param onChange it became ready, full-sized, suspect, or was lost */
  constructor(options: LocalReplicaOptions, onChange: () => void) {
    this.#onChange = onChange;
    const { replicaId, socketPath, nodeId, random, log } = options;
    this.#connection = new Reconnector(
      { minDelayMs: MIN_RETRY_MS, maxDelayMs: MAX_RETRY_MS, random },
      ({ opened, closed }) =>
        new ReplicaChannel(
          { replicaId, socketPath, nodeId, timeoutMs: CONNECT_TIMEOUT_MS },
          {
            onState: () => {
              opened();
              this.#onChange();
            },
            onBeat: () => this.#hearBeat(),
            onClose: (error) => {
              closed();
              this.#report(error, (problem) => log.warn({ replica: replicaId, problem }, 'channel is down'));
              this.#isSuspect = false;
              this.#onChange();
            },
          },
        ),
    );
  }

  get limit(): number {
    const channel = this.#connection.current;
    return channel?.isReady && !this.#isSuspect ? channel.maxOngoing : 0;
  }

  open(head: EncodedHead, end: boolean, listener: StreamListener): ClientStream {
    const channel = this.#connection.current;
    if (channel === null) throw new RangeError(`replica ${head.replica} was chosen while its limit was 0`);
    return channel.open(head, end, listener);
  }

  /** Its socket may just have appeared. */
  hurry(): void {
    this.#connection.hurry();
  }

  /**
   * Looks whether it is stopped: silent for a while, and its process in state T (SIGSTOP) or t (a debugger). A process that is
   * busy is silent, too, and stays in service.
   */
  examine(nowMs: number): void {
    const channel = this.#connection.current;
    const pid = channel?.hello?.pid;
    if (channel === null || pid === undefined) return;
    const isSilent = nowMs - channel.lastHeardMs >= SUSPECT_AFTER_MS;
    const isSuspect = isSilent && ['T', 't'].includes(readProcessStat(pid)?.state ?? '');
    if (isSuspect && !this.#isSuspect) {
      this.#isSuspect = true;
      this.#onChange();
    }
  }

  /** Idempotent; requests that are there are lost. */
  close(): void {
    this.#connection.stop();
  }

  /** That nobody listens is how replicas begin and end; anything else is told, once for each new reason. */
  #report(error: Error | null, warn: (problem: string) => void): void {
    const problem = error === null || codeOf(error) === 'CHANNEL_CONNECT' ? '' : messageOf(error);
    if (problem !== '' && problem !== this.#lastProblem) warn(problem);
    this.#lastProblem = problem;
  }

  #hearBeat(): void {
    if (!this.#isSuspect) return;
    this.#isSuspect = false;
    this.#onChange();
  }
}
