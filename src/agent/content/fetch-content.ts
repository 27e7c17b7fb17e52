import { setMaxListeners } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { sizeText } from '../../cluster/placement/amounts.ts';
import { fetchLine } from '../../cluster/status/fetch-line.ts';
import { totalBytesOf } from '../../lib/content/manifest.ts';
import { PartialContent } from '../../lib/content/partial-content.ts';
import { PieceSet } from '../../lib/content/pieces.ts';
import type { Room, Shortage } from '../../lib/content/room.ts';
import { codeOf, messageOf } from '../../lib/errors.ts';
import { type ContentClient, SourceError } from './content-client.ts';
import { ContentError } from './content-error.ts';
import { FetchSources } from './fetch-sources.ts';

/** A node whose content server can be asked. */
export interface ContentNode {
  readonly nodeId: string;
  /** `host:port` */
  readonly address: string;
  readonly isHead: boolean;
}

export interface FetchOptions {
  readonly hash: string;
  /** for a person: `package Digits`, `model face.onnx` */
  readonly what: string;
  /** where it grows */
  readonly partialDir: string;
  /** what it becomes: a folder, or a file */
  readonly target: string;
}

export interface FetchDependencies {
  readonly client: ContentClient;
  /** other nodes of the cluster, asked for again and again: they come and go */
  readonly nodes: () => Promise<readonly ContentNode[]>;
  readonly room: Room;
  readonly onProgress: (line: string) => void;
  readonly signal: AbortSignal;
}

const HEAD_LANES = 2;
const PEER_LANES = 4;
const PROGRESS_MS = 1_000;
/** Nothing has come for this long: then it fails, and the revision before serves on. */
const GIVE_UP_MS = 600_000;
/** All heads have said so often that they do not have it, and nobody else has. */
const REFUSALS = 5;
const ANNOUNCE_MS = 250;
/** So that a head with hundreds of fetching nodes is not kept busy by their reports. */
const ANNOUNCE_PER_PEER_MS = 10;
const PROBED_NODES = 8;
const VERIFICATIONS = 3;

/**
 * Fetches one content from the cluster: each piece from a node that has it, from the head what no other has. Goes on
 * where an earlier run ended, waits for nodes that are away, and names nothing whose hash is not right.
 */
export class ContentFetch {
  readonly #options: FetchOptions;
  readonly #dependencies: FetchDependencies;
  readonly #sources = new FetchSources();
  readonly #inFlight = new Set<number>();
  readonly #tally = { fromHeadBytes: 0, receivedBytes: 0, refusals: 0, movedAtMs: 0, problem: '', head: 0 };
  #partial: PartialContent | null = null;
  #releaseRoom: () => void = () => undefined;
  /** ends the waits and requests of the step in hand */
  #over = new AbortController();
  #failure: unknown = null;

  constructor(options: FetchOptions, dependencies: FetchDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  /** What is here of it so far, for others to fetch; null before its list of files is known. */
  get partial(): PartialContent | null {
    return this.#partial;
  }

  /** @throws ContentError; the signal's reason. What has come stays for the next try. */
  async run(): Promise<PartialContent['files']> {
    const { signal } = this.#dependencies;
    const stop = (): void => this.#over.abort();
    signal.addEventListener('abort', stop);
    try {
      signal.throwIfAborted();
      const partial = await this.#open();
      this.#partial = partial;
      await this.#fetchAndVerify(partial);
      await partial.finish(this.#options.target);
      return partial.files;
    } catch (error) {
      await this.#partial?.note().catch(() => undefined);
      throw this.#explained(error);
    } finally {
      signal.removeEventListener('abort', stop);
      this.#releaseRoom();
      this.#partial = null;
    }
  }

  async #open(): Promise<PartialContent> {
    const { hash, partialDir } = this.#options;
    const begun = await PartialContent.resume(partialDir, hash);
    if (begun !== null) {
      await this.#reserve(begun.files);
      return begun;
    }
    this.#say(`fetching ${this.#options.what}: looking for a node that has it`);
    this.#tally.movedAtMs = performance.now();
    for (;;) {
      const files = await this.#askManifest();
      if (files === null) {
        this.#judge();
        await this.#pause(300);
        this.#dependencies.signal.throwIfAborted();
        continue;
      }
      await mkdir(dirname(partialDir), { recursive: true });
      await this.#reserve(files);
      return await PartialContent.begin(partialDir, files);
    }
  }

  /** @returns null when nobody gave it now */
  async #askManifest(): Promise<PartialContent['files'] | null> {
    const nodes = await this.#nodes();
    const heads = nodes.filter((node) => node.isHead);
    let refused = 0;
    for (const node of [...heads, ...sample(others(nodes))]) {
      try {
        const files = await this.#dependencies.client.manifest(
          node.address,
          this.#options.hash,
          this.#dependencies.signal,
        );
        return files;
      } catch (error) {
        this.#dependencies.signal.throwIfAborted();
        this.#tally.problem = messageOf(error);
        if (codeOf(error) === 'SOURCE_HAS_NOT') refused += 1;
      }
    }
    if (heads.length > 0 && refused >= heads.length) this.#tally.refusals += 1;
    return null;
  }

  async #reserve(files: PartialContent['files']): Promise<void> {
    const { partialDir, what } = this.#options;
    const wish = { folder: partialDir, totalBytes: totalBytesOf(files) };
    const reservation = await this.#dependencies.room.reserve(wish);
    if (!reservation.ok)
      throw new ContentError('DISK_FULL', noRoomText(what, dirname(partialDir), reservation.shortage));
    this.#releaseRoom = reservation.release;
  }

  async #fetchAndVerify(partial: PartialContent): Promise<void> {
    for (let round = 0; round < VERIFICATIONS; round += 1) {
      if (!partial.held.isFull) await this.#fetchMissing(partial);
      this.#say(`checking ${this.#options.what} (${sizeText(partial.totalBytes)}) by its hash`);
      const wrong = await partial.verify();
      if (wrong.length === 0) return;
      this.#tally.problem = `${wrong.length} pieces were not what the hash says`;
      this.#sources.distrustAll();
    }
    throw new ContentError(
      'CONTENT_MISMATCH',
      `${this.#options.what} has arrived ${VERIFICATIONS} times and is never what ${this.#options.hash} names; ` +
        'is the disk of this node or of the head damaged? See `dmesg`',
    );
  }

  /** Until every piece is here, or it cannot be had. */
  async #fetchMissing(partial: PartialContent): Promise<void> {
    this.#over = new AbortController();
    setMaxListeners(0, this.#over.signal); // each lane listens, and each of its requests
    this.#failure = null;
    this.#tally.movedAtMs = performance.now();
    this.#dependencies.signal.throwIfAborted();
    await Promise.all([
      ...Array.from({ length: HEAD_LANES }, () => this.#lane(() => this.#fromHead(partial))),
      ...Array.from({ length: PEER_LANES }, () => this.#lane(() => this.#fromPeer(partial))),
      this.#lane(() => this.#announce(partial)),
      this.#lane(() => this.#report(partial)),
    ]);
    this.#dependencies.signal.throwIfAborted();
    if (this.#failure !== null) throw this.#failure;
  }

  /** Repeats a step until all is over; the first step that throws ends all lanes. */
  async #lane(step: () => Promise<void>): Promise<void> {
    while (!this.#over.signal.aborted) {
      try {
        await step();
      } catch (error) {
        if (this.#over.signal.aborted) return;
        this.#failure = error;
        this.#over.abort();
      }
    }
  }

  async #fromHead(partial: PartialContent): Promise<void> {
    const heads = (await this.#nodes()).filter((node) => node.isHead);
    const head = heads[this.#tally.head % Math.max(1, heads.length)];
    const wanted = this.#wanted(partial);
    if (head === undefined || wanted.count === 0) return await this.#pause(head === undefined ? 500 : 20);
    try {
      const { client } = this.#dependencies;
      const given = await client.anyPiece(head.address, this.#options.hash, wanted, this.#over.signal);
      this.#tally.refusals = 0;
      if (given === null) return await this.#pause(50 + Math.random() * 50);
      const taken = await this.#take(partial, given.piece, given.bytes);
      if (taken) this.#tally.fromHeadBytes += given.bytes.length;
    } catch (error) {
      await this.#sourceFailed(error, heads.length);
    }
  }

  async #sourceFailed(error: unknown, headCount: number): Promise<void> {
    if (!(error instanceof SourceError)) throw error;
    this.#tally.problem = messageOf(error);
    this.#tally.head += 1;
    if (error.code === 'SOURCE_HAS_NOT' && this.#sources.count === 0) {
      this.#tally.refusals += 1 / (HEAD_LANES * headCount);
    }
    await this.#pause(300 + Math.random() * 700);
  }

  async #fromPeer(partial: PartialContent): Promise<void> {
    const choice = this.#sources.choose(this.#wanted(partial), performance.now(), Math.random());
    if (choice === null) return await this.#pause(30);
    const { piece, source } = choice;
    this.#inFlight.add(piece);
    this.#sources.begun(source);
    try {
      const { client } = this.#dependencies;
      const part = partial.pieceAt(piece);
      const bytes = await client.piece(source.peer.address, this.#options.hash, part, this.#over.signal);
      await this.#take(partial, piece, bytes);
      this.#sources.gave(source);
    } catch (error) {
      this.#sources.failed(source, performance.now());
      if (!(error instanceof SourceError)) throw error;
    } finally {
      this.#inFlight.delete(piece);
    }
  }

  /** @returns false for one that had come from another node meanwhile */
  async #take(partial: PartialContent, piece: number, bytes: Uint8Array): Promise<boolean> {
    if (bytes.length !== partial.pieceAt(piece).length) {
      throw new SourceError(`a piece of ${bytes.length} bytes`, { code: 'SOURCE_ANSWER', address: '' });
    }
    const isNew = !partial.held.has(piece);
    await partial.write(piece, bytes);
    this.#tally.receivedBytes += isNew ? bytes.length : 0;
    this.#tally.movedAtMs = performance.now();
    if (partial.held.isFull) this.#over.abort();
    return isNew;
  }

  #wanted(partial: PartialContent): PieceSet {
    const wanted = new PieceSet(partial.held.size);
    for (let piece = 0; piece < partial.held.size; piece += 1) {
      if (!partial.held.has(piece) && !this.#inFlight.has(piece)) wanted.add(piece);
    }
    return wanted;
  }

  /** Tells the heads what is here, and hears who else has what; without a head, some other nodes are asked themselves. */
  async #announce(partial: PartialContent): Promise<void> {
    const nodes = await this.#nodes();
    const heads = nodes.filter((node) => node.isHead);
    const heard = (await Promise.all(heads.map((node) => this.#tell(node, partial)))).some(Boolean);
    if (!heard || this.#sources.count === 0) {
      await Promise.all(sample(others(nodes)).map((node) => this.#tell(node, partial)));
    }
    await this.#pause(Math.max(ANNOUNCE_MS, this.#sources.count * ANNOUNCE_PER_PEER_MS));
  }

  async #tell(node: ContentNode, partial: PartialContent): Promise<boolean> {
    try {
      const { client } = this.#dependencies;
      const { hash } = this.#options;
      const { held, peers } = await client.announce(node.address, hash, partial.held, this.#over.signal);
      this.#sources.learn(node.isHead ? peers : [{ ...node, held }, ...peers]);
      return true;
    } catch (error) {
      if (this.#over.signal.aborted || error instanceof SourceError) return false;
      throw error;
    }
  }

  async #report(partial: PartialContent): Promise<void> {
    const fromBytes = this.#tally.receivedBytes;
    const startedMs = performance.now();
    await this.#pause(PROGRESS_MS);
    const perSecond = (this.#tally.receivedBytes - fromBytes) / ((performance.now() - startedMs) / 1000);
    const heldBytes = Math.min(partial.held.count * partial.pieceAt(0).length, partial.totalBytes);
    const stalled = performance.now() - this.#tally.movedAtMs > 5 * PROGRESS_MS;
    const isMoving = this.#tally.receivedBytes > 0 && !stalled;
    const line = fetchLine({
      ...{ model: this.#options.what, fetchedBytes: heldBytes, totalBytes: partial.totalBytes },
      bytesPerSecond: isMoving ? Math.round(perSecond) : 0,
    });
    const more = stalled ? `; waits: ${this.#tally.problem}` : isMoving ? `, from ${this.#givers()}` : '';
    this.#say(`${line}${more}`);
    this.#judge();
  }

  #givers(): string {
    const peers = this.#sources.givers.size;
    const fromPeers = peers === 1 ? '1 other node' : `${peers} other nodes`;
    if (this.#tally.fromHeadBytes === 0) return fromPeers;
    return peers === 0 ? 'the head' : `the head and ${fromPeers}`;
  }

  /** @throws ContentError when it is time to give up */
  #judge(): void {
    const { refusals, movedAtMs, problem } = this.#tally;
    const { what, hash } = this.#options;
    if (refusals >= REFUSALS) {
      throw new ContentError(
        'CONTENT_MISSING',
        `${what} is not on this node, and no node of the cluster has it any more (${hash}); ` +
          'run `modelserve controller` again from the project that has it',
      );
    }
    if (performance.now() - movedAtMs < GIVE_UP_MS) return;
    throw new ContentError(
      'CONTENT_UNREACHABLE',
      `${what} could not be fetched: nothing has come for ${GIVE_UP_MS / 60_000} minutes` +
        `${problem === '' ? '; no node is known that could have it' : `: ${problem}`}`,
    );
  }

  async #nodes(): Promise<readonly ContentNode[]> {
    return await this.#dependencies.nodes();
  }

  async #pause(ms: number): Promise<void> {
    const { signal } = this.#over;
    await delay(ms, undefined, { signal }).catch(() => undefined);
  }

  #say(line: string): void {
    this.#dependencies.onProgress(line);
  }

  #explained(error: unknown): unknown {
    if (codeOf(error) !== 'ENOSPC' && codeOf(error) !== 'EDQUOT') return error;
    return new ContentError(
      'DISK_FULL',
      `${this.#options.what} could not be written below ${dirname(this.#options.partialDir)}: the disk is full; make room there`,
    );
  }
}

/** What is missing, and what to do. */
function noRoomText(what: string, folder: string, { neededBytes, freeBytes, cache }: Shortage): string {
  if (cache === null) {
    return (
      `${what} needs ${sizeText(neededBytes)} more, and ${folder} has ${sizeText(freeBytes)} free, with all gone that nothing needs; ` +
      'make room there, or start this node with --state-dir on a larger disk'
    );
  }
  return (
    `${what} needs ${sizeText(neededBytes)} more; this node keeps ${sizeText(cache.limitBytes)} of models at most (--model-cache), ` +
    `of which ${sizeText(cache.inUseBytes)} are needed by what runs here or is being fetched; raise it, or place less on this node`
  );
}

function others(nodes: readonly ContentNode[]): readonly ContentNode[] {
  return nodes.filter((node) => !node.isHead);
}

/** A few at random: in a large cluster nobody asks everybody. */
function sample(nodes: readonly ContentNode[]): readonly ContentNode[] {
  return [...nodes]
    .map((node) => ({ node, rank: Math.random() }))
    .sort((left, right) => left.rank - right.rank)
    .slice(0, PROBED_NODES)
    .map(({ node }) => node);
}
