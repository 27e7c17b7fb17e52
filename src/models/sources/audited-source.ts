import { messageOf } from '../../lib/errors.ts';
import type { RemoteRequest } from '../connector-log.ts';
import type { ReceiveOptions, Target } from '../receive/types.ts';
import type { ByteRange, ByteSink, ModelSource, RemoteFile } from './types.ts';

type Asked = Pick<RemoteRequest, 'kind' | 'uri' | 'range'>;

/** A source each of whose requests is written down when it has ended. */
export class AuditedSource implements ModelSource {
  readonly #source: ModelSource;
  readonly #place: string;
  readonly #audit: (request: RemoteRequest) => void;

  /** @param place what stands before keys in the lines: `oss://bucket/` */
  constructor(source: ModelSource, place: string, audit: (request: RemoteRequest) => void) {
    this.#source = source;
    this.#place = place;
    this.#audit = audit;
  }

  get canList(): boolean {
    return this.#source.canList;
  }

  get canListAfter(): boolean {
    return this.#source.canListAfter === true;
  }

  async stat(key: string, signal: AbortSignal): Promise<RemoteFile | null> {
    return await this.#tell({ kind: 'stat', uri: this.#place + key, range: '' }, () =>
      this.#source.stat(key, signal),
    );
  }

  async *list(prefix: string, signal: AbortSignal, after?: string): AsyncGenerator<readonly RemoteFile[]> {
    const pages = this.#source.list(prefix, signal, after);
    for (;;) {
      const asked = { kind: 'list', uri: this.#place + prefix, range: '' } as const;
      const { done, value } = await this.#tell(asked, async () => await pages.next());
      if (done === true) return;
      yield value;
    }
  }

  async read(
    file: RemoteFile,
    range: ByteRange | null,
    sink: ByteSink,
    signal: AbortSignal,
  ): Promise<number> {
    return await this.#tell(this.#readOf(file, range), () => this.#source.read(file, range, sink, signal));
  }

  async readInto(
    file: RemoteFile,
    range: ByteRange | null,
    target: Target,
    options: ReceiveOptions,
  ): Promise<number> {
    const read = this.#readOf(file, range);
    return await this.#tell(read, () => this.#source.readInto(file, range, target, options));
  }

  #readOf({ key }: RemoteFile, range: ByteRange | null): Asked {
    const bytes = range === null ? '' : `${range.offset}-${range.offset + range.length - 1}`;
    return { kind: 'read', uri: this.#place + key, range: bytes };
  }

  async #tell<Result>(asked: Asked, work: () => Promise<Result>): Promise<Result> {
    const sinceMs = performance.now();
    const tell = (failure: string | null): void =>
      this.#audit({ ...asked, failure, tookMs: performance.now() - sinceMs });
    try {
      const result = await work();
      tell(null);
      return result;
    } catch (error) {
      tell(messageOf(error));
      throw error;
    }
  }
}
