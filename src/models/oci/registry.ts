import { createHash } from 'node:crypto';
import type { Variables } from '../../config/environment.ts';
import { type ImageReference, imageName } from '../../config/image-reference.ts';
import { codeOf } from '../../lib/errors.ts';
import { sha256 } from '../../lib/hash.ts';
import { type Answer, bytesOf, type Exchange, refusalOf } from '../sources/exchange.ts';
import { passing } from '../sources/passing.ts';
import { encodeStrictly } from '../sources/requests.ts';
import { type ByteSink, SourceError } from '../sources/types.ts';
import { type Descriptor, IMAGE_TYPE, MANIFEST_TYPES } from './manifest.ts';
import { RegistryAuth } from './registry-auth.ts';

export interface RegistryOptions {
  readonly image: ImageReference;
  /** where requests go, unless an answer names another place: `https://host:port` */
  readonly origin: string;
  /** where credentials are looked for */
  readonly variables: Variables;
  /** what is to be done there */
  readonly actions: 'pull' | 'pull,push';
}

export interface FoundManifest {
  /** `sha256:…` of its bytes */
  readonly digest: string;
  readonly text: string;
}

/** A request of a repository of a registry; the rest of its address is put in front. */
export interface RegistryRequest {
  readonly method?: 'HEAD' | 'POST' | 'PUT' | 'PATCH';
  /** below `/v2/<repository>/`; with a slash at its start as it is */
  readonly path: string;
  /** of another server that the registry has named: that one is not told who asks */
  readonly origin?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

/** One repository of a registry. */
export class Registry {
  readonly #options: RegistryOptions;
  readonly #exchange: Exchange;
  readonly #auth: RegistryAuth;

  constructor(options: RegistryOptions, exchange: Exchange) {
    this.#options = options;
    this.#exchange = exchange;
    const { image, origin, variables, actions } = options;
    this.#auth = new RegistryAuth(
      {
        ...{ registry: image.registry, origin, variables },
        scope: `repository:${image.repository}:${actions}`,
      },
      exchange,
    );
  }

  /** The image, for messages. */
  get place(): string {
    return `oci://${imageName(this.#options.image)}`;
  }

  /** Where requests go, unless an answer names another place. */
  get origin(): string {
    return this.#options.origin;
  }

  /** What to do about a refusal, '' when nothing is known. */
  get hint(): string {
    return this.#auth.hint;
  }

  /**
   * @param name a tag or a digest
   * @returns null when there is none
   * @throws SourceError, also when it is not what its digest says
   */
  async manifest(name: string, signal: AbortSignal): Promise<FoundManifest | null> {
    return await this.request(
      () => ({ path: `manifests/${name}`, headers: { accept: MANIFEST_TYPES.join(', ') } }),
      async (answer) => {
        if (answer.statusCode === 404) return null;
        if (answer.statusCode !== 200) throw await this.refusal(answer);
        const bytes = await bytesOf(answer);
        const digest = `sha256:${sha256(bytes)}`;
        const said = name.startsWith('sha256:') ? name : answer.headers['docker-content-digest'];
        if (typeof said === 'string' && said.startsWith('sha256:') && said !== digest) {
          throw tampered(`${this.place}: the manifest`, said);
        }
        return { digest, text: bytes.toString('utf8') };
      },
      signal,
    );
  }

  /**
   * Gives the bytes of a blob to the sink, in order; a connection that breaks is made anew, and goes on where it was.
   * @param held those that are here from its start on; the registry is asked for the rest
   * @throws SourceError, also when they are not what the digest says: only at the end, so nothing may be done with them before
   */
  async readBlob(
    blob: Descriptor,
    sink: ByteSink,
    signal: AbortSignal,
    held: AsyncIterable<Buffer> | null = null,
  ): Promise<void> {
    const reading = new BlobReading(`${this.place}: the layer ${blob.digest.slice(0, 19)}`, blob, sink);
    if (held !== null) await reading.replay(held, signal);
    while (!reading.isComplete) {
      const before = reading.at;
      try {
        await this.request(
          () => ({
            path: `blobs/${blob.digest}`,
            headers: reading.at === 0 ? {} : { range: `bytes=${reading.at}-` },
          }),
          async (answer) => {
            const isPart = answer.statusCode === 206 && reading.at > 0;
            if (answer.statusCode !== 200 && !isPart) throw await this.refusal(answer);
            await reading.take(answer.body, isPart);
          },
          signal,
        );
      } catch (error) {
        // As long as each round of tries brings something, a bad line is only slow.
        if (codeOf(error) !== 'SOURCE_FAILED' || reading.at === before) throw error;
      }
    }
    reading.end();
  }

  async hasBlob(digest: string, signal: AbortSignal): Promise<boolean> {
    return await this.request(
      () => ({ method: 'HEAD', path: `blobs/${digest}` }),
      async (answer) => {
        if (answer.statusCode === 404) return false;
        if (answer.statusCode !== 200) throw await this.refusal(answer);
        return true;
      },
      signal,
    );
  }

  /** Has a blob of another repository of the same registry taken as it is there. @returns false when it has to be sent */
  async mountBlob(digest: string, from: Registry, signal: AbortSignal): Promise<boolean> {
    const other = from.#options;
    if (other.origin !== this.origin) return false;
    const path = `blobs/uploads/?mount=${encodeStrictly(digest)}&from=${encodeStrictly(other.image.repository)}`;
    return await this.request(
      () => ({ method: 'POST', path, body: Buffer.alloc(0) }),
      async (answer) => answer.statusCode === 201,
      signal,
    );
  }

  /** @returns its digest. @throws SourceError when the registry does not take it, or calls it otherwise */
  async putManifest(tag: string, text: string, signal: AbortSignal): Promise<string> {
    const body = Buffer.from(text);
    const digest = `sha256:${sha256(body)}`;
    return await this.request(
      () => ({ method: 'PUT', path: `manifests/${tag}`, headers: { 'content-type': IMAGE_TYPE }, body }),
      async (answer) => {
        if (answer.statusCode !== 201) throw await this.refusal(answer);
        const said = answer.headers['docker-content-digest'] ?? digest;
        if (said !== digest) throw tampered(`${this.place}: the manifest`, digest);
        return digest;
      },
      signal,
    );
  }

  /**
   * Makes a request as whoever the registry wants to see.
   * @param make called for each try
   * @throws SourceError; what `use` throws
   */
  async request<Result>(
    make: () => RegistryRequest | Promise<RegistryRequest>,
    use: (answer: Answer) => Promise<Result>,
    signal: AbortSignal,
  ): Promise<Result> {
    const { image } = this.#options;
    for (let isLast = false; ; isLast = true) {
      let sent: string | undefined;
      const refused = Symbol('the registry wants to know who asks');
      const result = await this.#exchange.get(
        this.place,
        async () => {
          const { path, origin = this.origin, headers = {}, ...rest } = await make();
          const auth = origin === this.origin ? this.#auth.headers : {};
          sent = auth['authorization'];
          return {
            ...{ ...rest, origin, query: [], headers: { ...headers, ...auth } },
            path: path.startsWith('/') ? path : `/v2/${image.repository}/${path}`,
          };
        },
        async (answer) => {
          if (answer.statusCode !== 401) return await use(answer);
          if (!isLast && (await this.#auth.answer(answer, sent, signal))) return refused;
          throw await this.refusal(answer);
        },
        signal,
      );
      if (result !== refused) return result as Result;
    }
  }

  /** An error with the registry's words. */
  async refusal(answer: Answer): Promise<SourceError> {
    const isDenied = [401, 403, 404].includes(answer.statusCode);
    return await refusalOf(this.place, answer, isDenied ? this.hint : '');
  }
}

/** How far a blob has come, over all connections that it took. */
class BlobReading {
  at = 0;
  readonly #what: string;
  readonly #blob: Descriptor;
  readonly #sink: ByteSink;
  readonly #hash = createHash('sha256');

  constructor(what: string, blob: Descriptor, sink: ByteSink) {
    this.#what = what;
    this.#blob = blob;
    this.#sink = sink;
  }

  get isComplete(): boolean {
    return this.at === this.#blob.sizeBytes;
  }

  /** @param isPart the answer begins where the one before has ended; else at the start, and what is known comes again */
  async take(body: AsyncIterable<Buffer>, isPart: boolean): Promise<void> {
    let known = isPart ? 0 : this.at;
    for await (const chunk of body) {
      const bytes = chunk.subarray(known);
      known = Math.max(0, known - chunk.length);
      if (bytes.length > 0) await this.#add(bytes);
    }
    if (!this.isComplete) throw passing(`it ends after ${this.at} of ${this.#blob.sizeBytes} bytes`);
  }

  /** Takes what is here from the start on. @throws the signal's reason */
  async replay(held: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> {
    for await (const bytes of held) {
      signal.throwIfAborted();
      await this.#add(bytes);
    }
  }

  async #add(bytes: Buffer): Promise<void> {
    const { sizeBytes, digest } = this.#blob;
    if (this.at + bytes.length > sizeBytes) throw tampered(this.#what, digest);
    this.#hash.update(bytes);
    await this.#sink(bytes, this.at);
    this.at += bytes.length;
  }

  /** @throws SourceError when what has come is something else */
  end(): void {
    if (`sha256:${this.#hash.digest('hex')}` !== this.#blob.digest)
      throw tampered(this.#what, this.#blob.digest);
  }
}

function tampered(what: string, digest: string): SourceError {
  return new SourceError(
    `${what} is not what its digest ${digest} says: expected those bytes, found others; push the image again`,
    {
      code: 'SOURCE_ANSWER',
    },
  );
}
