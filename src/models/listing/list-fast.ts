import { setMaxListeners } from 'node:events';
import type { ModelSource, RemoteFile } from '../sources/types.ts';
import { SourceError } from '../sources/types.ts';
import { compareKeys } from './key-order.ts';
import { type Segment, Segments } from './segments.ts';

export interface ListFastOptions {
  /** requests at once */
  readonly workers: number;
  readonly signal: AbortSignal;
}

/** Takes a page; may say to wait before the next. Pages come in no order; within one, keys are ordered. */
export type OnPage = (files: readonly RemoteFile[]) => void | Promise<void>;

/**
 * Lists all files whose keys begin so with several requests at once, each file once. Where the store cannot be asked for what
 * follows a key, page by page.
 * @throws SourceError, SOURCE_ORDER where the store does not list in the order of keys; what `onPage` throws
 */
export async function listFast(
  source: ModelSource,
  prefix: string,
  options: ListFastOptions,
  onPage: OnPage,
): Promise<void> {
  if (source.canListAfter === true) await new FastList(source, prefix, options, onPage).run();
  else for await (const files of source.list(prefix, options.signal)) await onPage(files);
}

class FastList {
  readonly #source: ModelSource;
  readonly #prefix: string;
  readonly #onPage: OnPage;
  readonly #segments: Segments;
  readonly #workers: number;
  readonly #failed = new AbortController();
  readonly #signal: AbortSignal;
  readonly #running = new Set<Promise<void>>();

  constructor(source: ModelSource, prefix: string, options: ListFastOptions, onPage: OnPage) {
    this.#source = source;
    this.#prefix = prefix;
    this.#onPage = onPage;
    this.#workers = options.workers;
    this.#segments = new Segments(prefix);
    this.#signal = AbortSignal.any([options.signal, this.#failed.signal]);
    setMaxListeners(0, this.#signal); // all workers have it, and Node takes more than ten for a leak
  }

  async run(): Promise<void> {
    this.#start(this.#segments.begin());
    while (this.#running.size > 0) await Promise.all(this.#running);
    this.#signal.throwIfAborted();
  }

  #start(segment: Segment): void {
    const work = this.#list(segment)
      .catch((error) => this.#failed.abort(error))
      .finally(() => {
        this.#running.delete(work);
        this.#fill();
      });
    this.#running.add(work);
  }

  /** Gives whoever has nothing to do a part of what others have before them. */
  #fill(): void {
    while (this.#running.size < this.#workers && !this.#signal.aborted) {
      const segment = this.#segments.split();
      if (segment === null) return;
      this.#start(segment);
    }
  }

  async #list(segment: Segment): Promise<void> {
    const pages = this.#source.list(this.#prefix, this.#signal, segment.after);
    let before = segment.after;
    for (let page = await pages.next(); ; ) {
      if (page.done === true) return void this.#segments.take(segment, [], true);
      const files = page.value;
      const keys = files.map((file) => file.key);
      this.#checkOrder(before, keys);
      before = keys.at(-1) ?? before;
      const { count, goesOn } = this.#segments.take(segment, keys, false);
      if (count > 0) await this.#onPage(count === files.length ? files : files.slice(0, count));
      if (!goesOn) return;
      // Once it shows whether another page follows at all.
      setImmediate(() => this.#fill());
      page = await pages.next();
    }
  }

  #checkOrder(before: string, keys: readonly string[]): void {
    let last = before;
    for (const key of keys) {
      if (compareKeys(key, last) <= 0 && last !== '') {
        throw new SourceError(
          `${this.#prefix}: the store does not list in the order of keys; list page by page`,
          {
            code: 'SOURCE_ORDER',
          },
        );
      }
      last = key;
    }
  }
}
