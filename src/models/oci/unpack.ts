import { once } from 'node:events';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import zlib from 'node:zlib';
import { ServeError } from '../../lib/errors.ts';
import { startFilter } from '../../lib/process/filter.ts';
import { findProgram } from '../../lib/process/find-program.ts';

/** Takes bytes as they come, and says when it has dealt with them. */
export interface ByteTaker {
  write(bytes: Buffer): Promise<void>;
  /** there are no more; what it still has is dealt with when this resolves */
  end(): Promise<void>;
  /** there will be no more, and nobody wants what it has. Idempotent. */
  abort(): Promise<void>;
}

/** A layer that is packed in a way that cannot be undone here. */
class UnpackError extends ServeError<{ readonly code: 'UNPACK_IMPOSSIBLE' | 'UNPACK_BROKEN' }> {
  override readonly name = 'UnpackError';
}

type Take = (bytes: Buffer) => Promise<void>;

/**
 * Undoes gzip or zstd where the first bytes say so, whatever the media type is; what is neither goes on as it is.
 * @param searchPath where the program `zstd` is looked for where Node cannot do it itself (before 22.15)
 */
export class Unpacker implements ByteTaker {
  readonly #take: Take;
  readonly #searchPath: string;
  #head: Buffer = Buffer.alloc(0);
  #taker: ByteTaker | null = null;

  constructor(take: Take, searchPath: string) {
    this.#take = take;
    this.#searchPath = searchPath;
  }

  async write(bytes: Buffer): Promise<void> {
    if (this.#taker !== null) return await this.#taker.write(bytes);
    this.#head = Buffer.concat([this.#head, bytes]);
    if (this.#head.length >= MAGIC_BYTES) await this.#begin().write(this.#head);
  }

  async end(): Promise<void> {
    if (this.#taker === null) await this.#begin().write(this.#head);
    await this.#taker?.end();
  }

  async abort(): Promise<void> {
    await this.#taker?.abort();
  }

  #begin(): ByteTaker {
    const magic = this.#head.toString('hex', 0, MAGIC_BYTES);
    const taker = magic.startsWith('1f8b')
      ? new Through((input, take) => pipeline(input, zlib.createGunzip(), each(take)), this.#take)
      : magic === '28b52ffd'
        ? new Through(unzstd(this.#searchPath), this.#take)
        : plain(this.#take);
    this.#taker = taker;
    return taker;
  }
}

const MAGIC_BYTES = 4;

function plain(take: Take): ByteTaker {
  return { write: take, end: async () => undefined, abort: async () => undefined };
}

/** Bytes that go through streams on their way. */
class Through implements ByteTaker {
  readonly #input = new PassThrough({ highWaterMark: 1024 ** 2 });
  readonly #done: Promise<void>;
  #failure: { readonly error: unknown } | null = null;

  constructor(run: (input: PassThrough, take: Take) => Promise<void>, take: Take) {
    this.#done = run(this.#input, take).catch((error: unknown) => {
      this.#failure ??= { error: readable(error) };
      this.#input.destroy();
    });
    this.#input.on('error', () => undefined); // the pipeline says it
  }

  async write(bytes: Buffer): Promise<void> {
    this.#check();
    if (!this.#input.write(bytes)) await Promise.race([once(this.#input, 'drain'), this.#done]);
    this.#check();
  }

  async end(): Promise<void> {
    this.#input.end();
    await this.#done;
    this.#check();
  }

  async abort(): Promise<void> {
    this.#input.destroy();
    await this.#done;
  }

  #check(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }
}

function each(take: Take): (source: AsyncIterable<Buffer>) => Promise<void> {
  return async (source) => {
    for await (const bytes of source) await take(bytes);
  };
}

function unzstd(searchPath: string): (input: PassThrough, take: Take) => Promise<void> {
  const { createZstdDecompress } = zlib as { readonly createZstdDecompress?: () => PassThrough };
  if (createZstdDecompress !== undefined) {
    return async (input, take) => await pipeline(input, createZstdDecompress(), each(take));
  }
  const program = findProgram('zstd', searchPath);
  if (program === null) {
    throw new UnpackError(
      `it is packed with zstd, which Node ${process.versions.node} cannot unpack: install the program zstd (Debian: apt-get install zstd), or run Node 22.15 or later`,
      { code: 'UNPACK_IMPOSSIBLE' },
    );
  }
  return async (input, take) => {
    const filter = startFilter(program, ['-d', '-c', '-q'], {});
    try {
      const output: Readable = filter.output;
      await Promise.all([pipeline(input, filter.input), pipeline(output, each(take)), filter.ended()]);
    } finally {
      filter.kill();
    }
  };
}

/** zlib's own words say little. */
function readable(error: unknown): unknown {
  const code = (error as { readonly code?: unknown } | null)?.code;
  if (typeof code !== 'string' || !code.startsWith('Z_')) return error;
  return new UnpackError(
    `its gzip cannot be read: ${(error as Error).message}`,
    { code: 'UNPACK_BROKEN' },
    { cause: error },
  );
}
