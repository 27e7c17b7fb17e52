import { statfsSync } from 'node:fs';
import type { ConnectorConfig } from '../config/connector-config.ts';
import { cloudVariables } from '../config/environment.ts';
import { messageOf, ServeError } from '../lib/errors.ts';
import type { ConnectorLogs } from '../models/connector-log.ts';
import { listFast } from '../models/listing/list-fast.ts';
import { listRemote } from '../models/remote-listing.ts';
import { Exchange } from '../models/sources/exchange.ts';
import type { ModelSource, RemoteFile } from '../models/sources/types.ts';
import type { Credentials } from './credentials.ts';
import { partsOf } from './memory-plan.ts';
import { type MemoryUse, ObjectMemory } from './object-memory.ts';
import { OpenedObject } from './opened-object.ts';
import { OssAccess } from './oss-access.ts';
import { type OssUri, readOssUri } from './oss-uri.ts';
import { PartSource } from './part-source.ts';
import type { FolderFile } from './prepare-directory.ts';

export interface ConnectorOptions {
  readonly endpoint: string;
  readonly region: string | null;
  readonly config: ConnectorConfig;
}

export interface ConnectorParts {
  readonly credentials: Credentials;
  readonly logs: ConnectorLogs;
  /** what is held in this process, by all connectors */
  readonly use: MemoryUse;
  readonly onEvict: (path: string) => void;
}

export interface ListingOptions {
  readonly bucket: string;
  readonly prefix: string;
  /** by many requests at once */
  readonly isFast: boolean;
}

/** What a listing says of an object. */
export interface ListedObject {
  readonly key: string;
  readonly sizeBytes: number;
}

/** Lists, opens and prefetches objects behind one endpoint. */
export class Connector {
  readonly memory: ObjectMemory;
  /** requests at once */
  readonly connections: number;
  readonly #listWorkers: number;
  readonly #logs: ConnectorLogs;
  readonly #exchange = new Exchange(cloudVariables());
  readonly #source: PartSource;
  readonly #over = new AbortController();
  /** settles when all that was opened so far has its place */
  #opened: Promise<unknown> = Promise.resolve();

  /** @throws ServeError CONNECTOR_ENDPOINT, CONNECTOR_MEMORY */
  constructor({ endpoint, region, config }: ConnectorOptions, parts: ConnectorParts) {
    const { credentials, logs, use, onEvict } = parts;
    if (!URL.canParse(/^https?:\/\//.test(endpoint) ? endpoint : `http://${endpoint}`)) {
      throw new ServeError(
        `endpoint "${endpoint}": expected an address such as oss-cn-beijing.aliyuncs.com`,
        {
          code: 'CONNECTOR_ENDPOINT',
        },
      );
    }
    this.#logs = logs;
    const access = { credentials, exchange: this.#exchange, audit: logs.audit };
    this.#source = new PartSource(new OssAccess({ endpoint, region }, access));
    const { prefetch } = config;
    const limitBytes = prefetch.memoryBytes ?? defaultLimitBytes(prefetch.directory, use);
    const connections = prefetch.vcpus * prefetch.workers;
    this.connections = connections;
    this.#listWorkers = config.fastList.vcpus * config.fastList.workers;
    const { directory } = prefetch;
    this.memory = new ObjectMemory(this.#source, { directory, limitBytes, connections, onEvict }, use);
    logs.log.info({ endpoint, limitBytes, connections, folder: this.memory.folder }, 'connector opened');
  }

  /** Its keys are `bucket/key`. */
  get source(): ModelSource {
    return this.#source;
  }

  /**
   * Gives all objects whose keys begin so, in pages, ordered by key unless it is to be fast.
   * @param onPage may say to wait before the next one
   */
  async list(
    { bucket, prefix, isFast }: ListingOptions,
    onPage: (objects: readonly ListedObject[]) => void | Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const over = AbortSignal.any([signal, this.#over.signal]);
    const give = async (page: readonly RemoteFile[]): Promise<void> =>
      await onPage(
        page.map(({ key, sizeBytes }) => ({ key: key.slice(bucket.length + 1), sizeBytes: sizeBytes ?? 0 })),
      );
    const place = `${bucket}/${prefix}`;
    if (isFast) await listFast(this.#source, place, { workers: this.#listWorkers, signal: over }, give);
    else for await (const page of this.#source.list(place, over)) await give(page);
  }

  /**
   * Opens an object, whose bytes are fetched from then on, behind those of objects opened before.
   * @throws ServeError CONNECTOR_URI, CONNECTOR_NOT_FOUND; what the store says
   */
  async open(uri: string, signal: AbortSignal): Promise<OpenedObject> {
    const before = this.#opened;
    const opening = this.#openAfter(before, uri, AbortSignal.any([signal, this.#over.signal]));
    this.#opened = opening.catch(() => undefined);
    return await opening;
  }

  /** Opens what a listing has named. */
  take(uri: string, file: RemoteFile): OpenedObject {
    const sizeBytes = file.sizeBytes ?? 0;
    const { partBytes, offsets } = partsOf(sizeBytes, this.memory.limitBytes);
    const remotes = offsets.map((offset) =>
      this.#source.part(file, { offset, length: Math.min(partBytes, sizeBytes - offset) }),
    );
    return new OpenedObject({ uri, sizeBytes, partBytes }, this.memory.add(remotes), this.memory);
  }

  /**
   * All files of a folder, ordered by path.
   * @throws ModelError when there are none, or what is there cannot be files below a folder; what the store says
   */
  async listFolder(uri: string, signal: AbortSignal): Promise<readonly FolderFile[]> {
    const { bucket, key } = readOssUri(uri);
    const folder = `${bucket}/${key}`.replace(/\/*$/, '/');
    const none = { account: '', query: '', localName: '', isArchive: false };
    const asked = { ...none, text: uri, scheme: 'oss', endpoint: null, bucket } as const;
    const over = AbortSignal.any([signal, this.#over.signal]);
    const { files } = await listRemote({ ...asked, key: folder }, this.#source, over);
    return files;
  }

  /** Ends all requests and gives all memory back. Idempotent. */
  async close(): Promise<void> {
    if (this.#over.signal.aborted) return;
    this.#over.abort(new ServeError('the connector is closed', { code: 'CONNECTOR_CLOSED' }));
    await this.memory.close();
    await this.#exchange.close();
    this.#logs.log.info({ folder: this.memory.folder }, 'connector closed');
  }

  /** Asks at once, and has its place behind those before all the same. */
  async #openAfter(before: Promise<unknown>, uri: string, signal: AbortSignal): Promise<OpenedObject> {
    const found = this.#find(readOssUri(uri), signal);
    found.catch(() => undefined);
    await before;
    const file = await found;
    signal.throwIfAborted();
    const object = this.take(uri, file);
    this.#logs.log.debug({ uri, sizeBytes: object.sizeBytes }, 'object opened');
    return object;
  }

  async #find({ bucket, key }: OssUri, signal: AbortSignal): Promise<RemoteFile> {
    const file = key === '' ? null : await this.#source.stat(`${bucket}/${key}`, signal);
    if (file !== null) return file;
    throw new ServeError(`oss://${bucket}/${key}: there is no such object`, { code: 'CONNECTOR_NOT_FOUND' });
  }
}

/** Half of what is free now, and not all of the file system: the model that is loaded from there needs memory, too. */
function defaultLimitBytes(directory: string, use: MemoryUse): number {
  const free = process.availableMemory() + use.usedBytes;
  try {
    const { bavail, bsize } = statfsSync(directory);
    return Math.floor(Math.min(free / 2, bavail * bsize * 0.9 + use.usedBytes));
  } catch (cause) {
    throw new ServeError(`${directory} (prefetch.directory): ${messageOf(cause)}`, {
      code: 'CONNECTOR_MEMORY',
    });
  }
}
