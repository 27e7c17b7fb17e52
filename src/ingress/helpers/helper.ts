import type { Socket } from 'node:net';
import type { PartialIngress } from '../../cluster/metrics/samples.ts';
import type { PathSecrets } from '../../config/token.ts';
import type { ForkedProcess } from '../../lib/process/fork.ts';
import type { ProcessLoad } from '../load.ts';
import type { FromHelper, ToHelper } from './messages.ts';

/** One that has so many connections on their way to it is far behind, and gets no more. */
const MOST_UNTAKEN = 256;
/** One that takes none of them for so long is stopped or hangs: it is killed, and they go elsewhere. */
const LONGEST_STALL_MS = 10_000;
const ANSWER_MS = 500;
const END_MS = 2_500;
/** A link that is opened anew takes up to three seconds. */
const FOLLOW_MS = 5_000;

type HelperPhase = 'starting' | 'serving' | 'leaving';

export interface HelperListener {
  /** it takes connections from now on */
  onReady(helper: Helper): void;
  /** it wants to know what the whole ingress has counted: `tell` it */
  onAsked(helper: Helper, ask: number): void;
  /** once; `untaken`: connections that it has not touched */
  onEnded(helper: Helper, untaken: readonly Socket[]): void;
}

/** One further process of an ingress, as the main one sees it. */
export class Helper {
  readonly startedMs = performance.now();
  readonly #forked: ForkedProcess;
  readonly #listener: HelperListener;
  /** given to it, oldest first, and not reported as taken */
  readonly #untaken: Socket[] = [];
  readonly #asked = new Map<number, (answer: FromHelper | null) => void>();
  #phase: HelperPhase = 'starting';
  #load: ProcessLoad;
  #sample: PartialIngress = { processes: [], connections: 0, unrouted: 0, deployments: [] };
  #lastAsk = 0;
  #hasEnded = false;
  #stall: NodeJS.Timeout | null = null;

  constructor(forked: ForkedProcess, listener: HelperListener) {
    this.#forked = forked;
    this.#listener = listener;
    this.#load = { ...IDLE, pid: forked.pid };
    forked.onMessage((message) => this.#hear(message as FromHelper));
    void forked.exited.then(() => {
      this.#hasEnded = true;
      this.#watchStall(false);
      for (const answer of this.#asked.values()) answer(null);
      this.#listener.onEnded(this, this.#untaken.splice(0));
    });
  }

  get phase(): HelperPhase {
    return this.#phase;
  }

  /** as it said last */
  get load(): ProcessLoad {
    return this.#load;
  }

  /** what it had counted when it was asked last */
  get sample(): PartialIngress {
    return this.#sample;
  }

  get canTake(): boolean {
    return this.#phase === 'serving' && this.#untaken.length < MOST_UNTAKEN;
  }

  tell(message: ToHelper): void {
    this.#forked.send(message);
  }

  /** Gives it a connection that has not been read from. It comes back by `onEnded` where the helper dies before it has it. */
  give(socket: Socket): void {
    this.#untaken.push(socket);
    if (this.#stall === null) this.#watchStall(true);
    socket.on('error', () => {}); // nobody reads it here
    this.#forked.send({ do: 'take' } satisfies ToHelper, socket);
  }

  /** It takes no connections any more, and ends when those it has are gone. */
  leave(): void {
    this.#phase = 'leaving';
    this.tell({ do: 'leave' });
  }

  /** Asks it for its load; what it said before stands where it is too busy to answer. */
  async refresh(): Promise<void> {
    await this.#ask((ask) => ({ do: 'report', ask }), ANSWER_MS);
  }

  /** Asks it for what it has counted; what it said before stands where it is too busy to answer. */
  async measure(): Promise<void> {
    await this.#ask((ask) => ({ do: 'measure', ask }), ANSWER_MS);
  }

  /** Tells it other secrets. @returns whether it uses them; one that has ended or leaves needs none */
  async useSecrets(secrets: PathSecrets): Promise<boolean> {
    const answer = await this.#ask((ask) => ({ do: 'secrets', ask, secrets }), FOLLOW_MS);
    return answer !== null || this.#hasEnded;
  }

  /** @returns whether its requests were over within `graceMs` */
  async drain(graceMs: number): Promise<boolean> {
    const answer = await this.#ask((ask) => ({ do: 'drain', ask, graceMs }), graceMs + ANSWER_MS);
    return answer?.say === 'drained' ? answer.drained : this.#hasEnded;
  }

  /** Ends it, by force where it takes too long. */
  async end(): Promise<void> {
    this.#phase = 'leaving';
    this.tell({ do: 'end' });
    const deadline = setTimeout(() => this.kill(), END_MS);
    await this.#forked.exited;
    clearTimeout(deadline);
  }

  kill(): void {
    this.#forked.kill('SIGKILL');
  }

  #watchStall(isWaiting: boolean): void {
    if (this.#stall !== null) clearTimeout(this.#stall);
    this.#stall = isWaiting ? setTimeout(() => this.kill(), LONGEST_STALL_MS) : null;
  }

  #hear(message: FromHelper): void {
    switch (message.say) {
      case 'ready':
        if (this.#phase !== 'starting') return;
        this.#phase = 'serving';
        this.#listener.onReady(this);
        return;
      case 'took':
        this.#untaken.shift()?.destroy(); // this end of it: the helper has its own
        this.#watchStall(this.#untaken.length > 0);
        return;
      case 'load':
        this.#load = message.load;
        this.#asked.get(message.ask)?.(message);
        return;
      case 'sample':
        this.#sample = message.sample;
        this.#asked.get(message.ask)?.(message);
        return;
      case 'asks':
        this.#listener.onAsked(this, message.ask);
        return;
      case 'following':
      case 'drained':
        this.#asked.get(message.ask)?.(message);
    }
  }

  /** @returns null where no answer came in time */
  #ask(messageOf: (ask: number) => ToHelper, timeoutMs: number): Promise<FromHelper | null> {
    this.#lastAsk += 1;
    const ask = this.#lastAsk;
    return new Promise((resolve) => {
      const settle = (answer: FromHelper | null): void => {
        clearTimeout(deadline);
        this.#asked.delete(ask);
        resolve(answer);
      };
      const deadline = setTimeout(() => settle(null), timeoutMs);
      this.#asked.set(ask, settle);
      this.tell(messageOf(ask));
    });
  }
}

const IDLE: Omit<ProcessLoad, 'pid'> = {
  ...{ connections: 0, open: 0, inFlight: 0, queued: 0, keptBytes: 0 },
  ...{ deployments: [], poison: [] },
};
