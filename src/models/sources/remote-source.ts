import type { Variables } from '../../config/environment.ts';
import { headerOf, judgeAnswer, versionOf } from '../receive/judge-answer.ts';
import { beginningAt, sinkInto } from '../receive/target.ts';
import type { ReceiveOptions, Target } from '../receive/types.ts';
import type { AskServer } from './connections.ts';
import { type Answer, type Exchange, type MakeRequest, refusalOf, textOf } from './exchange.ts';
import type { ListPage } from './list-xml.ts';
import { passing } from './passing.ts';
import type { StoreRequest } from './requests.ts';
import { type ByteRange, type ByteSink, type ModelSource, type RemoteFile, SourceError } from './types.ts';

/** What a scheme may look up on its way to credentials. */
export interface SourceContext {
  /** where credentials, and the names of their files, are looked for */
  readonly variables: Variables;
  /** for servers of tokens and keys */
  readonly ask: AskServer;
  /** whose variables they are, for messages: `the environment of the head` */
  readonly environment: string;
}

/** In what a scheme differs from the others: addresses, listing, signatures. */
export interface Dialect {
  /** for messages: `s3://bucket/`, without anything secret */
  readonly place: string;
  /** a GET of one object */
  object(key: string): StoreRequest;
  /** null: nothing can be listed there */
  readonly listing: {
    /** @param next what the page before said; null for the first */
    request(prefix: string, next: string | null): StoreRequest;
    /** the request for what follows a key, which need not be there; not given: the store cannot be asked so */
    readonly after?: (prefix: string, key: string) => StoreRequest;
    parse(xml: string): ListPage;
  } | null;
  /** @returns the headers to send, those of the request among them */
  sign(request: StoreRequest): Promise<Readonly<Record<string, string>>>;
  /**
   * Puts a signature into the address in place of headers, so that anybody may send it.
   * @throws SourceError where the credentials cannot sign addresses
   */
  presign(request: StoreRequest): Promise<StoreRequest>;
  /** makes a request ready to be sent, in place of `sign` */
  readonly prepare?: (request: StoreRequest) => Promise<StoreRequest>;
  /**
   * Gets credentials anew once a request was refused.
   * @param askedAtMs when that was made, by `performance.now()`
   * @returns whether there are others now
   */
  renew(askedAtMs: number): Promise<boolean>;
  /** what to do about an answer of this status, '' when nothing is known */
  hint(status: number, headers: Answer['headers']): string;
}

/** S3 says 400 to a token that has run out. */
const REFUSALS = new Set([400, 401, 403]);

/** A server that is asked by HTTP, whatever it is: what all schemes share. */
export class RemoteSource implements ModelSource {
  readonly #dialect: Dialect;
  readonly #exchange: Exchange;

  constructor(dialect: Dialect, exchange: Exchange) {
    this.#dialect = dialect;
    this.#exchange = exchange;
  }

  /** By a GET of one byte and no HEAD: refusals come with their words, and a presigned address is signed for GET alone. */
  async stat(key: string, signal: AbortSignal): Promise<RemoteFile | null> {
    const place = this.#placeOf(key);
    return await this.#ask(
      place,
      this.#making(() => this.#dialect.object(key), { range: 'bytes=0-0' }),
      async (answer) => {
        if (answer.statusCode === 404) return null;
        const version = versionOf(answer);
        const total = /\/(\d+)$/.exec(headerOf(answer, 'content-range') ?? '')?.[1];
        if (answer.statusCode === 206 && total !== undefined) {
          return { key, version, sizeBytes: Number(total), hasRanges: true };
        }
        if (answer.statusCode === 416) return { key, version, sizeBytes: 0, hasRanges: false };
        if (answer.statusCode !== 200) throw await this.#refusal(place, answer);
        const length = headerOf(answer, 'content-length');
        return { key, version, sizeBytes: length === null ? null : Number(length), hasRanges: false };
      },
      signal,
    );
  }

  async *list(prefix: string, signal: AbortSignal, after = ''): AsyncGenerator<readonly RemoteFile[]> {
    const { listing } = this.#dialect;
    const place = this.#placeOf(prefix);
    if (listing === null) {
      throw new SourceError(`${place}: a web server's folders cannot be listed; name a file`, {
        code: 'SOURCE_ANSWER',
      });
    }
    let next: string | null = null;
    do {
      const asked: string | null = next;
      const page: ListPage = await this.#ask(
        place,
        this.#making(() => {
          const isAfter = asked === null && after !== '' && listing.after !== undefined;
          return isAfter ? listing.after(prefix, after) : listing.request(prefix, asked);
        }, {}),
        async (answer) => {
          if (answer.statusCode !== 200) throw await this.#refusal(place, answer);
          return listing.parse(await textOf(answer));
        },
        signal,
      );
      if (page.next !== null && page.next === asked) {
        throw new SourceError(`${place}: the listing does not get on`, { code: 'SOURCE_ANSWER' });
      }
      yield page.files;
      next = page.next;
    } while (next !== null);
  }

  get canListAfter(): boolean {
    return this.#dialect.listing?.after !== undefined;
  }

  get canList(): boolean {
    return this.#dialect.listing !== null;
  }

  async read(
    file: RemoteFile,
    range: ByteRange | null,
    sink: ByteSink,
    signal: AbortSignal,
  ): Promise<number> {
    const from = range?.offset ?? 0;
    const end = range === null ? file.sizeBytes : range.offset + range.length;
    let at = from;
    // What has come stays: another try asks for the rest, where parts can be asked for.
    const headers = (): Readonly<Record<string, string>> =>
      range === null || end === null ? ifMatch(file) : partHeaders(file, at, end);
    await this.#ask(
      this.#placeOf(file.key),
      async () => {
        if (range === null) at = from;
        return await this.#making(() => this.#dialect.object(file.key), headers())();
      },
      async (answer) => {
        await this.#checkPart(file, answer, range === null ? null : at);
        for await (const bytes of upTo(answer, () => end !== null && at === end)) {
          if (end !== null && at + bytes.length > end) throw passing('it sends more than was asked for');
          await sink(bytes, at);
          at += bytes.length;
        }
        if (end !== null && at < end) throw passing(`it ends after ${at - from} of ${end - from} bytes`);
      },
      signal,
    );
    return at;
  }

  async readInto(
    file: RemoteFile,
    range: ByteRange | null,
    target: Target,
    options: ReceiveOptions,
  ): Promise<number> {
    const { signal, onBytes } = options;
    const offset = range?.offset ?? 0;
    const sink = sinkInto(target, offset, onBytes);
    if (range === null) return await this.read(file, null, sink, signal);
    const end = offset + range.length;
    let at = offset;
    const count = (bytes: number): void => {
      at += bytes;
      onBytes(bytes);
    };
    const isThere = await this.#exchange.receive(
      this.#placeOf(file.key),
      async () => await this.#making(() => this.#dialect.object(file.key), partHeaders(file, at, end))(),
      () => ({
        expected: { offset: at, totalBytes: file.sizeBytes, version: file.version },
        lengthBytes: end - at,
        target: beginningAt(target, at - offset),
      }),
      { signal, onBytes: count },
    );
    return isThere ? end : await this.read(file, { offset: at, length: end - at }, sink, signal);
  }

  /** @param offset null: the whole file was asked for */
  async #checkPart(file: RemoteFile, answer: Answer, offset: number | null): Promise<void> {
    const place = this.#placeOf(file.key);
    const { sizeBytes: totalBytes, version } = file;
    const judgement = judgeAnswer(answer, { offset, totalBytes, version });
    if (judgement === 'another file') throw changed(place);
    if (judgement === 'refused') throw await this.#refusal(place, answer);
    if (judgement === 'another part') throw passing('it sends another part than was asked for');
  }

  /** A refusal is asked once more with other credentials, where there are any: keys are rotated, and tokens run out. */
  async #ask<Result>(
    place: string,
    make: MakeRequest,
    use: (answer: Answer) => Promise<Result>,
    signal: AbortSignal,
  ): Promise<Result> {
    let askedAtMs = 0;
    let isRenewed = false;
    const making: MakeRequest = async () => {
      const made = await make();
      askedAtMs = performance.now(); // credentials got on the way are those that it was signed with
      return made;
    };
    const using = async (answer: Answer): Promise<Result> => {
      if (isRenewed || !REFUSALS.has(answer.statusCode)) return await use(answer);
      isRenewed = true;
      if (await this.#dialect.renew(askedAtMs))
        throw passing(`${answer.statusCode}, and again with new credentials`);
      return await use(answer);
    };
    return await this.#exchange.get(place, making, using, signal);
  }

  #making(request: () => StoreRequest, extra: Readonly<Record<string, string>>): MakeRequest {
    return async () => {
      const plain = request();
      const full = { ...plain, headers: { ...plain.headers, ...extra } };
      const { prepare } = this.#dialect;
      return prepare === undefined
        ? { ...full, headers: await this.#dialect.sign(full) }
        : await prepare(full);
    };
  }

  async #refusal(place: string, answer: Answer): Promise<SourceError> {
    return await refusalOf(place, answer, this.#dialect.hint(answer.statusCode, answer.headers));
  }

  #placeOf(key: string): string {
    return `${this.#dialect.place}${key}`;
  }
}

/** The body of an answer. Who breaks the connection once all is there, as a proxy may, has nothing left to be asked for. */
async function* upTo({ body }: Answer, isAllThere: () => boolean): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of body) yield chunk as Buffer;
  } catch (error) {
    if (!isAllThere()) throw error;
  }
}

function partHeaders(file: RemoteFile, from: number, end: number): Readonly<Record<string, string>> {
  return { range: `bytes=${from}-${end - 1}`, ...ifMatch(file) };
}

function ifMatch({ version }: RemoteFile): Readonly<Record<string, string>> {
  return isStrong(version) ? { 'if-match': version } : {};
}

/** A weak tag, or a time, cannot be a condition of a part. */
function isStrong(version: string | null): version is string {
  return version?.startsWith('"') === true;
}

function changed(place: string): SourceError {
  return new SourceError(
    `${place} was replaced or removed while it was fetched; apply again once it is complete`,
    {
      code: 'SOURCE_CHANGED',
    },
  );
}
