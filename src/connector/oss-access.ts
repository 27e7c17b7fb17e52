import type { ConnectorLogs } from '../models/connector-log.ts';
import { beginningAt } from '../models/receive/target.ts';
import type { ReceiveOptions, Target } from '../models/receive/types.ts';
import { AuditedSource } from '../models/sources/audited-source.ts';
import type { Exchange } from '../models/sources/exchange.ts';
import { ossBucketDialect } from '../models/sources/oss-source.ts';
import { RemoteSource } from '../models/sources/remote-source.ts';
import {
  type ByteRange,
  type ByteSink,
  type ModelSource,
  type RemoteFile,
  SourceError,
} from '../models/sources/types.ts';
import type { Credentials } from './credentials.ts';

export interface OssAccessOptions {
  /** with or without a scheme */
  readonly endpoint: string;
  /** null: signatures of version 1, which need none */
  readonly region: string | null;
}

export interface OssAccessParts {
  readonly credentials: Credentials;
  readonly exchange: Exchange;
  readonly audit: ConnectorLogs['audit'];
}

/**
 * All buckets behind an endpoint as one source, whose keys are `bucket/key`. A refused request is made once more where the
 * credentials have changed meanwhile. Each request is written down.
 */
export class OssAccess implements ModelSource {
  readonly canList = true;
  readonly canListAfter = true;
  readonly #options: OssAccessOptions;
  readonly #parts: OssAccessParts;
  readonly #buckets = new Map<string, ModelSource>();

  constructor(options: OssAccessOptions, parts: OssAccessParts) {
    this.#options = options;
    this.#parts = parts;
  }

  async stat(name: string, signal: AbortSignal): Promise<RemoteFile | null> {
    const { bucket, key, source } = this.#find(name);
    const file = await this.#ask(async () => source.stat(key, signal));
    return file === null ? null : { ...file, key: `${bucket}/${key}` };
  }

  async *list(name: string, signal: AbortSignal, after = ''): AsyncGenerator<readonly RemoteFile[]> {
    const { bucket, key, source } = this.#find(name);
    const afterKey = after.slice(bucket.length + 1);
    let pages = source.list(key, signal, afterKey);
    let isFirst = true;
    for (;;) {
      // A listing that was refused on its first page begins anew; later ones have been answered already.
      const { done, value } = await this.#ask(async () => {
        if (isFirst) pages = source.list(key, signal, afterKey);
        return await pages.next();
      });
      isFirst = false;
      if (done === true) return;
      yield value.map((file) => ({ ...file, key: `${bucket}/${file.key}` }));
    }
  }

  async read(
    file: RemoteFile,
    range: ByteRange | null,
    sink: ByteSink,
    signal: AbortSignal,
  ): Promise<number> {
    const { key, source } = this.#find(file.key);
    const end = range === null ? null : range.offset + range.length;
    let at = range?.offset ?? 0;
    return await this.#ask(async () => {
      const rest = end === null ? null : { offset: at, length: end - at };
      return await source.read(
        { ...file, key },
        rest,
        async (bytes, position) => {
          await sink(bytes, position);
          at = position + bytes.length;
        },
        signal,
      );
    });
  }

  async readInto(
    file: RemoteFile,
    range: ByteRange | null,
    target: Target,
    { signal, onBytes }: ReceiveOptions,
  ): Promise<number> {
    const { key, source } = this.#find(file.key);
    let doneBytes = 0;
    const count = (bytes: number): void => {
      doneBytes += bytes;
      onBytes(bytes);
    };
    return await this.#ask(async () => {
      const rest =
        range === null ? null : { offset: range.offset + doneBytes, length: range.length - doneBytes };
      const into = rest === null ? target : beginningAt(target, doneBytes);
      return await source.readInto({ ...file, key }, rest, into, { signal, onBytes: count });
    });
  }

  async #ask<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      const isRefused = error instanceof SourceError && error.code === 'SOURCE_REFUSED';
      if (!isRefused || !(await this.#parts.credentials.renew())) throw error;
      return await work();
    }
  }

  #find(name: string): { readonly bucket: string; readonly key: string; readonly source: ModelSource } {
    const slash = name.indexOf('/');
    const [bucket, key] = slash < 0 ? [name, ''] : [name.slice(0, slash), name.slice(slash + 1)];
    const known = this.#buckets.get(bucket);
    const source = known ?? this.#openBucket(bucket);
    if (known === undefined) this.#buckets.set(bucket, source);
    return { bucket, key, source };
  }

  #openBucket(bucket: string): ModelSource {
    const { credentials, exchange, audit } = this.#parts;
    const place = `oss://${bucket}/`;
    const dialect = ossBucketDialect(place, {
      ...this.#options,
      bucket,
      key: async () => await credentials.current(),
      hint: credentials.hint,
    });
    return new AuditedSource(new RemoteSource(dialect, exchange), place, audit);
  }
}
