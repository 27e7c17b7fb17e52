import type { MessagePort } from 'node:worker_threads';
import type { BackendHost } from './backend-host.ts';
import type { Offers } from './offers.ts';
import { NOTHING_MORE, RunningCall } from './running-call.ts';
import { type CallMessage, type CallReply, type GivenCall, MOST_COPIED_BYTES } from './thread-calls.ts';
import type { WorkMeter } from './work-meter.ts';

/** What runs user code. */
type Answering = Pick<BackendHost, 'answer' | 'answerTogether'>;

type GivenMessage = Extract<CallMessage, { readonly kind: 'call' | 'batch' }>;

/** When calls have taken so long together, the timers and sockets of user code have their turn. */
const TURN_MS = 5;

/** What the thread shares with the main one. */
interface SharedMemory {
  readonly offers: Offers;
  readonly meter: WorkMeter;
}

/**
 * The calls that a thread was given, which it runs strictly one after the other: the next one begins without a word from the main thread in
 * between. Each answer leaves before the next call begins, since nobody knows how long that will keep the thread.
 */
export class CallLine {
  readonly #port: MessagePort;
  readonly #offers: Offers;
  readonly #host: Answering;
  readonly #meter: WorkMeter;
  /** bounded by whoever gives them */
  readonly #given: GivenMessage[] = [];
  readonly #post = (reply: CallReply): void => this.#send(reply);
  #isAtWork = false;
  #running: RunningCall | null = null;
  #workedMs = 0;

  constructor(port: MessagePort, host: Answering, { offers, meter }: SharedMemory) {
    this.#port = port;
    this.#offers = offers;
    this.#host = host;
    this.#meter = meter;
  }

  /** Takes calls from now on, for as long as the thread lives. */
  open(): void {
    this.#port.on('message', (message: CallMessage) => this.#receive(message));
  }

  #receive(message: CallMessage): void {
    switch (message.kind) {
      case 'next':
        if (this.#running?.slot === message.slot) this.#running.next();
        break;
      case 'cancel':
        if (this.#running?.slot === message.slot) this.#running.cancel();
        break;
      default:
        this.#given.push(message);
        if (!this.#isAtWork) void this.#work();
    }
  }

  async #work(): Promise<void> {
    this.#isAtWork = true;
    for (let given = this.#given.shift(); given !== undefined; given = this.#given.shift()) {
      if (this.#workedMs > TURN_MS) await this.#nextTurn();
      const beganMs = performance.now();
      if (given.kind === 'call') await this.#run(given);
      else await this.#runTogether(given.calls);
      this.#workedMs += performance.now() - beganMs;
    }
    this.#isAtWork = false;
  }

  async #run(call: GivenCall): Promise<void> {
    if (!this.#takes(call)) return;
    const running = new RunningCall(call, this.#post);
    this.#running = running;
    await running.answer(await this.#host.answer(running.incoming));
    this.#running = null;
    this.#meter.took(running.incoming.userMs);
  }

  /** What of a batch is cancelled goes on with the others: what comes of it is thrown away. */
  async #runTogether(calls: readonly GivenCall[]): Promise<void> {
    const batch = calls.filter((call) => this.#takes(call)).map((call) => new RunningCall(call, this.#post));
    if (batch.length === 0) return;
    const answers = await this.#host.answerTogether(batch.map(({ incoming }) => incoming));
    this.#meter.gathered(batch.length);
    batch.forEach((running, index) => {
      this.#meter.took(running.incoming.userMs);
      const answer = answers[index];
      if (answer !== undefined) void running.answer(answer);
    });
  }

  /** False: it was withdrawn. */
  #takes({ slot }: GivenCall): boolean {
    const isOurs = this.#offers.take(slot);
    if (!isOurs) this.#send({ slot, ...NOTHING_MORE });
    return isOurs;
  }

  #send(reply: CallReply): void {
    const { chunk } = reply;
    const isLarge = typeof chunk !== 'string' && chunk.length > MOST_COPIED_BYTES;
    this.#port.postMessage(reply, isLarge ? [chunk.buffer] : []);
  }

  #nextTurn(): Promise<void> {
    this.#workedMs = 0;
    return new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}
