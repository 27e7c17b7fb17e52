/** A chunk to fetch next. */
export interface Turn<File> {
  readonly file: File;
  /** its place among the chunks of the file */
  readonly chunk: number;
}

interface Entry<File> {
  readonly file: File;
  /** 1 for each chunk that is there, or that somebody was given to fetch */
  readonly taken: Uint8Array;
  /** no chunk before it is left to take */
  cursor: number;
}

/**
 * What to fetch next, and nothing else: chunks that somebody waits for, in the order they were asked for; then files that were
 * asked for, in the order of the first call for each; then the rest, as it was added. No chunk is given out twice.
 */
export class FillOrder<File> {
  readonly #entries = new Map<File, Entry<File>>();
  #waited: Turn<File>[] = [];
  /** files as they were asked for; true: somebody waits for it */
  readonly #asked = new Map<File, boolean>();
  readonly #rest = new Set<File>();

  /**
   * Behind all that is there.
   * @param isHeld whether a chunk is there already
   */
  add(file: File, chunkCount: number, isHeld: (chunk: number) => boolean = () => false): void {
    const taken = Uint8Array.from({ length: chunkCount }, (_, chunk) => (isHeld(chunk) ? 1 : 0));
    this.#entries.set(file, { file, taken, cursor: 0 });
    this.#rest.add(file);
  }

  /** Puts chunks before all files, behind those that were waited for earlier. @param last included */
  want(file: File, first: number, last: number): void {
    const taken = this.#entries.get(file)?.taken ?? [];
    for (let chunk = first; chunk <= last; chunk += 1)
      if (taken[chunk] === 0) this.#waited.push({ file, chunk });
  }

  /**
   * Puts a file behind those that were asked for earlier, before all others. Asked for again it keeps its place.
   * @param isWaitedFor it comes even where no room is left
   */
  ask(file: File, isWaitedFor: boolean): void {
    if (!this.#entries.has(file)) return;
    this.#asked.set(file, isWaitedFor || this.#asked.get(file) === true);
    this.#rest.delete(file);
  }

  /** Nothing of it is given out any more. */
  drop(file: File): void {
    this.#entries.delete(file);
    this.#asked.delete(file);
    this.#rest.delete(file);
    this.#waited = this.#waited.filter((turn) => turn.file !== file);
  }

  /**
   * The next chunk, which counts as taken from then on.
   * @param hasRoom false: only what somebody waits for, since that may be what makes room
   */
  take(hasRoom: boolean): Turn<File> | null {
    return this.#takeWaited() ?? this.#takeAsked(hasRoom) ?? (hasRoom ? this.#takeRest() : null);
  }

  #takeWaited(): Turn<File> | null {
    for (let turn = this.#waited.shift(); turn !== undefined; turn = this.#waited.shift()) {
      const taken = this.#entries.get(turn.file)?.taken;
      if (taken?.[turn.chunk] !== 0) continue;
      taken[turn.chunk] = 1;
      return turn;
    }
    return null;
  }

  #takeAsked(hasRoom: boolean): Turn<File> | null {
    for (const [file, isWaitedFor] of this.#asked) {
      if (!hasRoom && !isWaitedFor) continue;
      const turn = this.#takeOf(file);
      if (turn !== null) return turn;
      this.#asked.delete(file);
    }
    return null;
  }

  #takeRest(): Turn<File> | null {
    for (const file of this.#rest) {
      const turn = this.#takeOf(file);
      if (turn !== null) return turn;
      this.#rest.delete(file);
    }
    return null;
  }

  #takeOf(file: File): Turn<File> | null {
    const entry = this.#entries.get(file);
    if (entry === undefined) return null;
    const chunk = entry.taken.indexOf(0, entry.cursor);
    if (chunk < 0) return null;
    entry.taken[chunk] = 1;
    entry.cursor = chunk + 1;
    return { file, chunk };
  }
}
