import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { Offers } from './offers.ts';
import type { AnswerPart, CallContent, CallMessage, CallReply, GivenCall } from './thread-calls.ts';

/** What an instance is called with, and who hears what comes of it. */
export interface Call {
  readonly content: CallContent;
  /** where it is while an instance has it; the desk's to set */
  seat: Seat | null;
  /** not called any more after a reply without `more` */
  onReply(part: AnswerPart): void;
}

/** The calls that one instance has been given, as the main thread sees them; the thread runs them in order, one at a time. */
export class CallDesk<Item extends Call = Call> {
  readonly #port: MessagePort;
  readonly #offers: Offers;
  /** by slot; null where it is free, or its call was withdrawn */
  readonly #calls: (Item | null)[];
  readonly #freeSlots: number[];
  #lastNumber = 0;
  #onVacancy: () => void = noop;

  /** @param slots how many calls it may have at once, as many as `offers` has */
  constructor(port: MessagePort, offers: Offers, slots: number) {
    this.#port = port;
    this.#offers = offers;
    this.#calls = new Array<Item | null>(slots).fill(null);
    this.#freeSlots = Array.from({ length: slots }, (_, slot) => slot);
    port.on('message', (reply: CallReply) => this.#receiveAll(reply));
  }

  /** Calls back when there are fewer calls than before. One listener. */
  watch(onVacancy: () => void): void {
    this.#onVacancy = onVacancy;
  }

  /** How many calls it has, begun or not, and withdrawn ones that its thread has not passed yet: its memory is bounded, too. */
  get load(): number {
    return this.#calls.length - this.#freeSlots.length;
  }

  /** The calls that user code has not seen, in order. */
  get unbegun(): readonly Item[] {
    return this.#calls
      .filter((call) => call?.seat?.isBegun === false)
      .filter((call) => call !== null)
      .sort((one, other) => (one.seat?.number ?? 0) - (other.seat?.number ?? 0));
  }

  give(call: Item): void {
    this.#send({ kind: 'call', ...this.#admit(call) }, [call]);
  }

  /** Several as one. */
  giveTogether(calls: readonly Item[]): void {
    this.#send({ kind: 'batch', calls: calls.map((call) => this.#admit(call)) }, calls);
  }

  isBegun({ slot }: Seat): boolean {
    return !this.#offers.isOffered(slot);
  }

  /** True: user code has not seen the call and never will. */
  withdraw({ slot }: Seat): boolean {
    if (!this.#offers.take(slot)) return false;
    this.#leave(slot);
    return true;
  }

  next({ slot }: Seat): void {
    this.#send({ kind: 'next', slot }, []);
  }

  cancel({ slot }: Seat): void {
    this.#send({ kind: 'cancel', slot }, []);
  }

  /** Takes what the thread said before it ended: from Node 26 on its end may be told first. */
  receiveLeft(): void {
    const received = receiveMessageOnPort(this.#port);
    if (received !== undefined) this.#receiveAll(received.message as CallReply);
  }

  #admit(call: Item): GivenCall {
    const slot = this.#freeSlots.pop();
    if (slot === undefined) throw new Error(`more than ${this.#calls.length} calls for one instance`);
    this.#lastNumber += 1;
    this.#calls[slot] = call;
    call.seat = new Seat(this, slot, this.#lastNumber);
    this.#offers.offer(slot);
    const { headText, body } = call.content;
    return { slot, headText, body };
  }

  #send(message: CallMessage, calls: readonly Call[]): void {
    const transferred: ArrayBuffer[] = [];
    for (const { content } of calls) {
      if (typeof content.body !== 'string') transferred.push(content.body.buffer);
    }
    this.#port.postMessage(message, transferred);
  }

  /**
   * All that is there in one go, so that what is sent on leaves in one go, too; there are no more than calls were given, and portions of a
   * stream allowed.
   */
  #receiveAll(first: CallReply): void {
    const load = this.load;
    this.#receive(first);
    for (;;) {
      const received = receiveMessageOnPort(this.#port);
      if (received === undefined) break;
      this.#receive(received.message as CallReply);
    }
    if (this.load < load) this.#onVacancy();
  }

  #receive(reply: CallReply): void {
    const call = this.#calls[reply.slot];
    if (!reply.more) {
      this.#leave(reply.slot);
      this.#freeSlots.push(reply.slot);
    }
    call?.onReply(reply);
  }

  #leave(slot: number): void {
    const call = this.#calls[slot];
    if (call) call.seat = null;
    this.#calls[slot] = null;
  }
}

/** A call's place at an instance. */
export class Seat {
  readonly slot: number;
  /** grows from call to call */
  readonly number: number;
  readonly #desk: CallDesk;

  constructor(desk: CallDesk, slot: number, number: number) {
    this.#desk = desk;
    this.slot = slot;
    this.number = number;
  }

  /** User code has the call. */
  get isBegun(): boolean {
    return this.#desk.isBegun(this);
  }

  /** True: user code has not seen the call and never will. */
  withdraw(): boolean {
    return this.#desk.withdraw(this);
  }

  /** A part of a streamed answer has been taken. */
  next(): void {
    this.#desk.next(this);
  }

  /** Nobody reads the answer any more; its last reply still comes. */
  cancel(): void {
    this.#desk.cancel(this);
  }
}

function noop(): void {
  // nobody waits for room
}
