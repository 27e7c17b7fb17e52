import { rm, rmdir } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { MemoryStream } from '../../cluster/spec/types.ts';
import type { ModelFetch } from '../../cluster/status/types.ts';
import type { ContentStore, StoredContent } from '../../lib/content/content-store.ts';
import type { Room } from '../../lib/content/room.ts';
import { messageOf } from '../../lib/errors.ts';
import { namesIn, whyNotOurs } from '../../lib/files.ts';
import type { Log } from '../../lib/log.ts';
import { Rounds } from '../../lib/rounds.ts';
import type { Placeholders } from '../preload/barrier-server.ts';
import { type ComingModel, StreamError } from './coming-model.ts';
import type { Listings } from './listings.ts';
import { MemoryModel } from './memory-model.ts';
import type { OpenListing, StreamOrigin } from './stream-origin.ts';
import { StreamedModel } from './streamed-model.ts';

export interface ModelStreamsOptions {
  /** where models grow, each in a folder of its listing's name */
  readonly partialDir: string;
  /** where those lie that are in memory */
  readonly memoryDir: string;
  /** requests at once, of each model */
  readonly connections: number;
  /** what nobody has asked for this long ends; a minute by default: another node asks for each part, and may be slow to write */
  readonly idleMs?: number;
}

export interface ModelStreamsDependencies {
  readonly listings: Listings;
  readonly store: ContentStore;
  readonly room: Room;
  readonly placeholders: Placeholders;
  /** asked in this order */
  readonly origins: readonly StreamOrigin[];
  readonly log: Log;
}

/** What a listing has come to on this machine. */
export type Streamed =
  | { readonly kind: 'whole'; readonly content: StoredContent }
  | { readonly kind: 'coming'; readonly model: ComingModel }
  /** it is not here, and to be had by its hash from the nodes that have it */
  | { readonly kind: 'named'; readonly hash: string };

interface Entry {
  readonly opening: Promise<Streamed>;
  /** null while it is being opened */
  model: ComingModel | null;
  usedAtMs: number;
}

/** Where each is to lie: null: on the disk. */
export type WantedListings = ReadonlyMap<string, MemoryStream | null>;

const NOT_TO_ITS_END = 'a model does not come to its end';
const IDLE_MS = 60_000;
const LOOKS_PER_IDLE = 12;

/**
 * The models that come to this machine while they are loaded, by listing. One is fetched for as long as something that may run
 * here is pinned by it, or somebody asks for its bytes.
 */
export class ModelStreams {
  readonly #options: ModelStreamsOptions;
  readonly #dependencies: ModelStreamsDependencies;
  readonly #entries = new Map<string, Entry>();
  /** what is being written down of models that are whole */
  readonly #noting = new Set<Promise<void>>();
  readonly #stopping = new AbortController();
  readonly #idleMs: number;
  readonly #looking: Rounds;
  #wanted: WantedListings = new Map();
  #cleaning: Promise<void> = Promise.resolve();

  constructor(options: ModelStreamsOptions, dependencies: ModelStreamsDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#idleMs = options.idleMs ?? IDLE_MS;
    this.#looking = new Rounds(this.#idleMs / LOOKS_PER_IDLE, () => this.#endIdle());
    this.#looking.start();
  }

  /** What is being fetched at the moment. */
  get running(): readonly ModelFetch[] {
    return this.#models().flatMap((model) =>
      model.failure === null && !model.isWhole ? [model.progress] : [],
    );
  }

  /** What a listing holds, if all of it has come. */
  async known(listing: string): Promise<StoredContent | null> {
    const { listings, store } = this.#dependencies;
    const content = (await listings.read(listing))?.content ?? null;
    const found = content === null ? null : await store.find(content);
    if (found !== null) await store.touch(found.hash);
    return found;
  }

  /**
   * Begins to fetch what a listing names, or goes on; one that has failed is tried again.
   * @param memory where it is to lie if it is not under way; by default as what is assigned here wants it
   * @throws StreamError STREAM_UNKNOWN when no origin knows it, STREAM_NO_ROOM; what an origin throws
   */
  async join(
    listing: string,
    memory: MemoryStream | null = this.#wanted.get(listing) ?? null,
  ): Promise<Streamed> {
    const entry = this.#entries.get(listing);
    if (entry !== undefined && (entry.model === null || entry.model.failure === null)) {
      entry.usedAtMs = performance.now();
      return await entry.opening;
    }
    return await this.#begin(listing, memory, entry?.model?.stop()).opening;
  }

  /** The model of that listing while it comes, also when it has failed; null when nothing is under way. */
  find(listing: string): ComingModel | null {
    const entry = this.#entries.get(listing);
    if (entry !== undefined) entry.usedAtMs = performance.now();
    return entry?.model ?? null;
  }

  /**
   * Waits until a file can be read, which comes next.
   * @param source where it lies while it comes
   * @throws what its model fails with; StreamError STREAM_UNKNOWN when nobody fetches it
   */
  async whenFile(source: string, signal: AbortSignal): Promise<void> {
    const { partialDir, memoryDir } = this.#options;
    const folder = source.startsWith(memoryDir + sep) ? memoryDir : partialDir;
    const [listing = ''] = relative(folder, source).split(sep);
    const { opening } = this.#entries.get(listing) ?? {};
    const streamed = await opening;
    if (streamed?.kind === 'coming') await streamed.model.whenSource(source, signal);
    else throw new StreamError(`${source} is not fetched any more`, { code: 'STREAM_UNKNOWN' });
  }

  /** What may run here is pinned by these listings: they are fetched to their end, the others are not. */
  want(listings: WantedListings): void {
    const fresh = [...listings.keys()].filter((listing) => !this.#wanted.has(listing));
    this.#wanted = listings;
    this.#cleaning = this.#removeLeftovers().catch((error: unknown) =>
      this.#dependencies.log.warn({ error: messageOf(error) }, 'what lies in memory for nobody stays'),
    );
    for (const listing of fresh) {
      // Whoever prepares what needs it asks again, and is told why it cannot be had.
      this.#resume(listing).catch((error: unknown) => {
        this.#dependencies.log.warn({ listing, error: messageOf(error) }, 'a model cannot be streamed');
      });
    }
  }

  /** Somebody reads files in memory from now on who cannot be made to wait. */
  async keep(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#models().map(async (model) => await model.keep?.(signal)));
  }

  /** Ends all fetches; what has come stays for the next time. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping.abort(new StreamError('this node stops', { code: 'STREAM_STOPPED' }));
    await this.#looking.stop();
    await Promise.all([...this.#entries.keys()].map(async (listing) => await this.#end(listing)));
    await Promise.all(this.#noting);
    await this.#removeLeftovers();
  }

  async #resume(listing: string): Promise<void> {
    if ((await this.known(listing)) === null && this.#wanted.has(listing)) await this.join(listing);
  }

  /** @param before what has to be over first */
  #begin(listing: string, memory: MemoryStream | null, before: Promise<void> = Promise.resolve()): Entry {
    const opening = before.then(async () => await this.#open(listing, memory));
    const entry: Entry = { opening, model: null, usedAtMs: performance.now() };
    this.#entries.set(listing, entry);
    opening.then(
      (streamed) => {
        if (streamed.kind === 'coming') entry.model = streamed.model;
        else this.#forget(listing, entry);
      },
      () => this.#forget(listing, entry),
    );
    return entry;
  }

  async #open(listing: string, memory: MemoryStream | null): Promise<Streamed> {
    this.#stopping.signal.throwIfAborted();
    const content = await this.known(listing);
    if (content !== null) return { kind: 'whole', content };
    const found = await this.#ask(listing);
    if (memory !== null) return { kind: 'coming', model: await this.#openInMemory(listing, found, memory) };
    if (found.content !== null) {
      await this.#record(listing, found.content, found);
      return { kind: 'named', hash: found.content };
    }
    const { partialDir, connections } = this.#options;
    const { store, room, placeholders } = this.#dependencies;
    const folder = join(partialDir, listing);
    const model = await StreamedModel.open(found, { folder, store, room, connections, placeholders });
    const noted = this.#follow(listing, found, model).finally(() => this.#noting.delete(noted));
    this.#noting.add(noted);
    return { kind: 'coming', model };
  }

  async #openInMemory(listing: string, found: OpenListing, { expireMs }: MemoryStream): Promise<ComingModel> {
    const { connections, memoryDir } = this.#options;
    const { placeholders, log } = this.#dependencies;
    const options = { folder: join(memoryDir, listing), connections, expireMs, placeholders, log };
    await this.#cleaning;
    const model = await MemoryModel.open(found, options);
    model.whole.then(
      () => log.info({ model: found.model }, 'model fetched into memory while it was loaded'),
      (error: unknown) => log.warn({ model: found.model, error: messageOf(error) }, NOT_TO_ITS_END),
    );
    return model;
  }

  /** What lies in memory for nobody: its node process was killed. */
  async #removeLeftovers(): Promise<void> {
    const { memoryDir } = this.#options;
    const problem = await whyNotOurs(memoryDir).catch(() => 'is not there');
    if (problem !== null) return; // by a link of somebody else's, it would be the files of others that are removed
    for (const name of await namesIn(memoryDir)) {
      if (this.#wanted.has(name) || this.#entries.has(name)) continue;
      await rm(join(memoryDir, name), { recursive: true, force: true });
    }
    // while there are others, or are about to be, it stays
    if (this.#entries.size === 0) await rmdir(memoryDir).catch(() => undefined);
  }

  /** Notes what it holds once it is whole. */
  async #follow(listing: string, from: OpenListing, model: StreamedModel): Promise<void> {
    const { log } = this.#dependencies;
    try {
      const { hash } = await model.whole;
      await this.#record(listing, hash, from);
      log.info({ model: from.model, hash }, 'model fetched while it was loaded');
      const entry = this.#entries.get(listing);
      if (entry?.model === model) this.#entries.delete(listing);
    } catch (error) {
      log.warn({ model: from.model, error: messageOf(error) }, NOT_TO_ITS_END);
    }
  }

  async #ask(listing: string): Promise<OpenListing> {
    for (const origin of this.#dependencies.origins) {
      const found = await origin.open(listing, this.#stopping.signal);
      if (found !== null) return found;
    }
    throw new StreamError(
      `no head of the cluster knows what was listed as ${listing}; run \`modelserve controller\` again`,
      { code: 'STREAM_UNKNOWN' },
    );
  }

  async #record(listing: string, content: string, { files }: OpenListing): Promise<void> {
    const { listings } = this.#dependencies;
    const known = await listings.read(listing);
    await listings.write(listing, { uri: known?.uri ?? null, files: known?.files ?? files, content });
  }

  async #endIdle(): Promise<void> {
    for (const [listing, { usedAtMs, model }] of this.#entries) {
      const isIdle = performance.now() - usedAtMs > this.#idleMs && !this.#wanted.has(listing);
      if (isIdle && model !== null) await this.#end(listing);
    }
  }

  async #end(listing: string): Promise<void> {
    const entry = this.#entries.get(listing);
    if (entry === undefined) return;
    const streamed = await entry.opening.catch(() => null);
    if (streamed?.kind === 'coming') {
      await streamed.model.stop();
      if (!this.#wanted.has(listing)) await streamed.model.discard?.();
    }
    this.#forget(listing, entry);
  }

  #forget(listing: string, entry: Entry): void {
    if (this.#entries.get(listing) === entry) this.#entries.delete(listing);
  }

  #models(): readonly ComingModel[] {
    return [...this.#entries.values()].flatMap(({ model }) => (model === null ? [] : [model]));
  }
}
