import type { PinnedSpec } from '../../cluster/spec/types.ts';
import { childEnvironment } from '../../config/environment.ts';
import { modelSocket, type StatePaths } from '../../config/paths.ts';
import { ContentStore } from '../../lib/content/content-store.ts';
import { messageOf } from '../../lib/errors.ts';
import type { LiveSecrets } from '../../lib/live-secrets.ts';
import type { Log } from '../../lib/log.ts';
import { Rounds } from '../../lib/rounds.ts';
import type { LiveTls } from '../../lib/tls/live-tls.ts';
import { Listings } from '../../models/streaming/listings.ts';
import { ModelStreams } from '../../models/streaming/model-streams.ts';
import type { StreamOrigin } from '../../models/streaming/stream-origin.ts';
import { ClusterOrigin } from './cluster-origin.ts';
import { ContentClient } from './content-client.ts';
import { ContentServer, type NodeDesk } from './content-server.ts';
import { bytesOf } from './disk-use.ts';
import type { ContentNode } from './fetch-content.ts';
import { ModelBarrier } from './model-barrier.ts';
import { ModelCache, type ModelCacheOptions } from './model-cache.ts';
import { NodeContents } from './node-contents.ts';
import { type PruneOptions, pruneContents } from './prune-contents.ts';

export interface ContentServiceOptions {
  readonly nodeId: string;
  readonly paths: StatePaths;
  readonly host: { readonly bound: string; readonly advertised: string };
  /** of the cluster's content servers */
  readonly keys: LiveSecrets;
  /** the certificate of this node; null: content goes plainly */
  readonly tls: LiveTls | null;
  readonly cache: Pick<ModelCacheOptions, 'limitBytes' | 'spareBytes'>;
}

export interface ContentServiceDependencies {
  /** other nodes of the cluster */
  readonly nodes: () => Promise<readonly ContentNode[]>;
  /** what runs here, and what replicas may be started from */
  readonly needed: () => Promise<readonly PinnedSpec[]>;
  /** where models that are streamed come from before other nodes are asked; none on a worker */
  readonly origins?: ((listings: Listings) => readonly StreamOrigin[]) | undefined;
  readonly log: Log;
}

/** of a model that is streamed: more than one node gives another */
const CONNECTIONS = 16;
const PRUNE_EVERY_MS = 600_000;
/** A worker cannot know what may be returned to; what it needs again later, others have. */
const GRACE_MS = 24 * 3_600_000;

/** What a node has of packages and models, gets from others and gives to others. */
export class ContentService {
  readonly store: ContentStore;
  readonly cache: ModelCache;
  readonly contents: NodeContents;
  readonly listings: Listings;
  readonly streams: ModelStreams;
  readonly #options: ContentServiceOptions;
  readonly #log: Log;
  readonly #client: ContentClient;
  readonly #server: ContentServer;
  readonly #barrier: ModelBarrier;
  #desk: NodeDesk | null = null;
  #pruning: Rounds | null = null;
  #stopped: Promise<void> | null = null;

  constructor(options: ContentServiceOptions, { nodes, needed, log, origins }: ContentServiceDependencies) {
    const { nodeId, paths, host, keys, tls, cache } = options;
    this.#options = options;
    this.#log = log;
    this.store = new ContentStore({ recordsDir: paths.contents, filesDir: paths.models });
    this.#client = new ContentClient({
      keys,
      tls,
      nodeId,
      address: () => hostPort(host.advertised, this.port),
    });
    this.listings = new Listings(paths.listings);
    const { store, listings } = this;
    this.cache = new ModelCache({ paths, ...cache }, { store, listings, needed, log });
    this.#barrier = new ModelBarrier(
      {
        socketPath: modelSocket(paths.sockets),
        folders: [paths.views, paths.partial, paths.memory],
        searchPath: childEnvironment()['PATH'] ?? '',
      },
      {
        files: {
          whenFile: async (path, signal) => await this.streams.whenFile(path, signal),
          keep: async (signal) => await this.streams.keep(signal),
        },
        log,
      },
    );
    this.streams = new ModelStreams(
      { partialDir: paths.partial, memoryDir: paths.memory, connections: CONNECTIONS },
      {
        ...{ store, listings, log, room: this.cache },
        placeholders: this.#barrier,
        origins: [...(origins?.(listings) ?? []), new ClusterOrigin(this.#client, nodes)],
      },
    );
    this.contents = new NodeContents(paths, {
      ...{ store, client: this.#client, room: this.cache, nodes },
      ...{ streams: this.streams, barrier: this.#barrier },
    });
    this.#server = new ContentServer(
      { host: host.bound, keys, tls },
      { find: (hash) => this.contents.find(hash), desk: () => this.#desk, streaming: this, log },
    );
  }

  /** Gives to others from here on. @throws the listen error */
  async start(): Promise<void> {
    await this.#server.start();
  }

  /** Answers the head, when it asks something of this node, with what this says. */
  answerWith(desk: NodeDesk): void {
    this.#desk = desk;
  }

  /** Of models that are kept here, and what has come of others. */
  async modelBytes(): Promise<number> {
    return bytesOf(await this.cache.entries());
  }

  /** of its server, named in the node's record */
  get port(): number {
    return this.#server.port;
  }

  /** Prunes by itself now and then, on a node where nothing else does. */
  pruneRegularly(assigned: () => readonly PinnedSpec[]): void {
    this.#pruning ??= new Rounds(PRUNE_EVERY_MS, async () => {
      try {
        await this.prune(assigned(), { graceMs: GRACE_MS, modelGraceMs: GRACE_MS });
      } catch (error) {
        this.#log.warn({ error: messageOf(error) }, 'packages and models could not be pruned');
      }
    });
    this.#pruning.start();
  }

  /** Deletes what no spec names and nothing has used for a while. @returns the hashes of what was deleted */
  async prune(
    keep: readonly PinnedSpec[],
    grace: Pick<PruneOptions, 'graceMs' | 'modelGraceMs'>,
  ): Promise<readonly string[]> {
    const pruned = await pruneContents({ paths: this.#options.paths, keep, ...grace }, this.store);
    await this.cache.trim();
    return pruned;
  }

  /**
   * Idempotent; what is being fetched ends, and goes on at the next start.
   * @param options.keepMemory whether models in memory stay for replicas that serve on
   */
  async stop(options: { readonly keepMemory?: boolean } = {}): Promise<void> {
    if (options.keepMemory === false) this.contents.want([]);
    this.#stopped ??= this.#stop();
    await this.#stopped;
  }

  async #stop(): Promise<void> {
    await this.#pruning?.stop();
    await this.contents.stop();
    await this.#barrier.stop(); // first: whoever waits for a file may go on waiting for the next node process
    await this.streams.stop();
    await this.#client.close();
    await this.#server.stop();
  }
}

function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
