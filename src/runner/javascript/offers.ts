const TAKEN = 0;
const OFFERED = 1;

/**
 * Calls that a thread was given and has not begun, in memory that both threads share. Whoever takes a call out has it: the
 * instance's thread to begin it, the main one to withdraw it. So the main thread knows at any moment what user code has not
 * seen, even while that keeps its thread busy.
 */
export class Offers {
  readonly memory: SharedArrayBuffer;
  readonly #slots: Int32Array;

  /** @param memory of another thread's object, or as many slots as there may be calls at once */
  constructor(memory: SharedArrayBuffer | number) {
    this.memory =
      typeof memory === 'number' ? new SharedArrayBuffer(memory * Int32Array.BYTES_PER_ELEMENT) : memory;
    this.#slots = new Int32Array(this.memory);
  }

  /** The slot must be free: the thread has passed the call that was in it before. */
  offer(slot: number): void {
    Atomics.store(this.#slots, slot, OFFERED);
  }

  isOffered(slot: number): boolean {
    return Atomics.load(this.#slots, slot) === OFFERED;
  }

  /** False: somebody else was faster. */
  take(slot: number): boolean {
    return Atomics.compareExchange(this.#slots, slot, OFFERED, TAKEN) === OFFERED;
  }
}
