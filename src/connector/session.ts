import { link, mkdir, symlink, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cloudVariables } from '../config/environment.ts';
import { codeOf, messageOf, ServeError } from '../lib/errors.ts';
import { openConnectorLogs } from '../models/connector-log.ts';
import type { ClientSocket } from './client-socket.ts';
import { Connector, type ListedObject } from './connector.ts';
import { fileCredentials, type ProvidedCredentials, providedCredentials } from './credentials.ts';
import type { PreparedFile, Request, Result } from './messages.ts';
import type { MemoryUse } from './object-memory.ts';
import type { OpenedObject } from './opened-object.ts';
import { prepareDirectory, prepareSmallFiles } from './prepare-directory.ts';
import { readConfigFile } from './read-config-file.ts';

export type Hello = Extract<Request, { op: 'hello' }>;
type Of<Op extends Request['op']> = Extract<Request, { op: Op }>;

interface Waiting {
  readonly resolve: (credentials: ProvidedCredentials) => void;
  readonly reject: (error: Error) => void;
}

/** A connector of a client and of the processes that it has forked: its objects are theirs together. */
export class Session {
  readonly warnings: readonly string[];
  readonly #connector: Connector;
  readonly #clients = new Set<ClientSocket>();
  readonly #objects = new Map<number, OpenedObject>();
  readonly #asked = new Map<number, Waiting>();
  /** of prepared folders, to files that are held here */
  readonly #links = new Set<string>();
  readonly #over = new AbortController();
  #numbers = 0;

  /** @throws ServeError for what cannot be a connector */
  constructor(hello: Hello, use: MemoryUse) {
    const { endpoint, credPath, configPath } = hello;
    const { config, warnings } = readConfigFile(configPath);
    const logs = openConnectorLogs(config);
    this.warnings = configPath === '' ? warnings : [...warnings, ...logs.warnings];
    for (const warning of this.warnings) logs.log.warn({ configPath }, warning);
    const provider = { getCredentials: async () => await this.#askClient() };
    const credentials = credPath === '' ? providedCredentials(provider) : fileCredentials(credPath);
    const region = hello.region || cloudVariables()['OSS_REGION'] || null;
    const onEvict = (path: string): void => {
      for (const client of this.#clients) void client.send({ evicted: path });
    };
    this.#connector = new Connector({ endpoint, region, config }, { credentials, logs, use, onEvict });
  }

  get folder(): string {
    return this.#connector.memory.folder;
  }

  join(client: ClientSocket): void {
    this.#clients.add(client);
  }

  /** @returns how many are left */
  leave(client: ClientSocket): number {
    this.#clients.delete(client);
    for (const [id, { reject }] of this.#asked) {
      this.#asked.delete(id);
      reject(new Error('the process that has the credentials provider has gone'));
    }
    return this.#clients.size;
  }

  /** Does what a client asks, and answers it. Never throws. */
  async serve(request: Request, client: ClientSocket): Promise<void> {
    const { id } = request;
    try {
      const result = await this.#perform(request, client);
      if (result !== undefined) await client.send({ id, result });
    } catch (error) {
      const failure = { code: codeOf(error) ?? 'CONNECTOR_FAILED', message: messageOf(error) };
      await client.send({ id, error: failure });
    }
  }

  /** Gives all memory back. Idempotent. */
  async close(): Promise<void> {
    this.#over.abort();
    for (const client of this.#clients) client.destroy();
    await this.#connector.close();
    for (const name of this.#links) await unlink(name).catch(() => undefined);
  }

  /** @returns undefined for what is not answered */
  async #perform(request: Request, client: ClientSocket): Promise<Result | undefined> {
    const { signal } = this.#over;
    switch (request.op) {
      case 'list':
        return await this.#list(request, client);
      case 'open':
        return this.#keep(await this.#connector.open(request.uri, signal));
      case 'locate':
        return await this.#find(request.object).locate(request.offset, request.length, signal);
      case 'whole':
        return { path: await this.#find(request.object).whole(signal) };
      case 'prepare':
        return await this.#prepare(request);
      case 'spend':
        this.#objects.get(request.object)?.spend(request.offset);
        return undefined;
      case 'close':
        this.#objects.get(request.object)?.close();
        this.#objects.delete(request.object);
        return undefined;
      case 'credentials':
        this.#takeCredentials(request);
        return undefined;
      case 'hello':
        return { folder: this.folder, warnings: this.warnings };
    }
  }

  async #list({ id, bucket, prefix, fast }: Of<'list'>, client: ClientSocket): Promise<null> {
    const give = async (page: readonly ListedObject[]): Promise<void> =>
      await client.send({ id, page: page.map(({ key, sizeBytes }) => [key, sizeBytes]) });
    await this.#connector.list({ bucket, prefix, isFast: fast }, give, this.#over.signal);
    return null;
  }

  /** Large files are links, which lead to memory once the file is whole: nobody reads what is not there yet. */
  async #prepare({ uri, directory: given, whole }: Of<'prepare'>): Promise<Result> {
    const options = { uri, directory: given, signal: this.#over.signal };
    if (whole) {
      await prepareDirectory(this.#connector, options);
      return { directory: given, files: [] };
    }
    const { directory, large } = await prepareSmallFiles(this.#connector, options);
    const files: PreparedFile[] = [];
    for (const { path, file } of large) {
      const opened = this.#connector.take(`${uri.replace(/\/*$/, '')}/${path}`, file);
      const kept = this.#keep(opened);
      files.push({ path, ...kept });
      await this.#linkWhenWhole(opened, join(directory, path), join(this.folder, `whole-${kept.object}`));
    }
    return { directory, files };
  }

  async #linkWhenWhole(object: OpenedObject, name: string, target: string): Promise<void> {
    await mkdir(dirname(name), { recursive: true });
    await symlink(target, name);
    this.#links.add(name);
    const appear = async (): Promise<void> => await link(await object.whole(this.#over.signal), target);
    appear().catch(() => undefined); // whoever opens it is told why
  }

  #keep(object: OpenedObject): { readonly object: number; readonly size: number } {
    this.#numbers += 1;
    this.#objects.set(this.#numbers, object);
    return { object: this.#numbers, size: object.sizeBytes };
  }

  #find(number: number): OpenedObject {
    const object = this.#objects.get(number);
    if (object !== undefined) return object;
    throw new ServeError('the object is closed, or its connector is', { code: 'CONNECTOR_CLOSED' });
  }

  async #askClient(): Promise<ProvidedCredentials> {
    const [client] = this.#clients;
    if (client === undefined) throw new Error('nobody is there who has the credentials provider');
    this.#numbers += 1;
    const id = this.#numbers;
    return await new Promise<ProvidedCredentials>((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      void client.send({ ask: id });
    });
  }

  #takeCredentials({ id, keyId, secret, token, failure }: Of<'credentials'>): void {
    const waiting = this.#asked.get(id);
    this.#asked.delete(id);
    if (failure !== '') waiting?.reject(new Error(failure));
    else waiting?.resolve({ accessKeyId: keyId, accessKeySecret: secret, securityToken: token });
  }
}
