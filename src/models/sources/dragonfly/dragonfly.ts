import type { Variables } from '../../../config/environment.ts';
import { hashOf } from '../../../lib/hash.ts';
import type { Log } from '../../../lib/log.ts';
import type { ReceiveOptions, Target } from '../../receive/types.ts';
import { Exchange, type ExchangeOptions, PATIENT } from '../exchange.ts';
import { type Dialect, RemoteSource } from '../remote-source.ts';
import type { ByteRange, ByteSink, ModelSource, RemoteFile } from '../types.ts';
import { readDragonflyConfig } from './dragonfly-config.ts';
import { DragonflyConnections } from './dragonfly-connections.ts';

export interface DragonflyOptions {
  readonly variables: Variables;
  readonly exchange?: ExchangeOptions;
  readonly log: Log;
}

/** Fetches the bytes of models by the proxy of a Dragonfly daemon, where `TRITON_DRAGONFLY_CONFIG_PATH` names one. */
export class Dragonfly {
  readonly #options: DragonflyOptions;
  /** by configuration: a file that changes leaves what is under way as it is */
  readonly #exchanges = new Map<string, Exchange>();

  constructor(options: DragonflyOptions) {
    this.#options = options;
  }

  /**
   * The same server with the bytes of its files by Dragonfly; what is there is asked of the server itself.
   * @returns null where no daemon is named
   * @throws SourceError for a configuration that is wrong
   */
  async proxied(dialect: Dialect, direct: Exchange): Promise<ModelSource | null> {
    const config = await readDragonflyConfig(this.#options.variables);
    if (config === null) return null;
    const { exchange = PATIENT, log } = this.#options;
    const key = hashOf(config);
    const byProxy =
      this.#exchanges.get(key) ??
      new Exchange(
        this.#options.variables,
        exchange,
        new DragonflyConnections(config, direct.connections, { silenceMs: exchange.silenceMs, log }),
      );
    this.#exchanges.set(key, byProxy);
    return new ProxiedSource(
      new RemoteSource(dialect, direct),
      new RemoteSource(presigned(dialect), byProxy),
    );
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await Promise.all([...this.#exchanges.values()].map(async (exchange) => await exchange.close()));
  }
}

/** A refused address is signed anew once: it may have run out on its way through a queue of the daemon's. */
function presigned(dialect: Dialect): Dialect {
  return {
    ...dialect,
    prepare: async (request) => await dialect.presign(request),
    renew: async (askedAtMs) => {
      await dialect.renew(askedAtMs);
      return true;
    },
    hint: (status, headers) => {
      const type = headers['x-dragonfly-error-type'];
      const words = typeof type === 'string' ? `, which says that the ${type} has failed` : '';
      return [dialect.hint(status, headers), `asked by Dragonfly${words}`].filter(Boolean).join('; ');
    },
  };
}

/** Asks one source what is there, and another for the bytes. */
class ProxiedSource implements ModelSource {
  readonly #direct: RemoteSource;
  readonly #proxied: RemoteSource;

  constructor(direct: RemoteSource, proxied: RemoteSource) {
    this.#direct = direct;
    this.#proxied = proxied;
  }

  get canList(): boolean {
    return this.#direct.canList;
  }

  get canListAfter(): boolean {
    return this.#direct.canListAfter;
  }

  async stat(key: string, signal: AbortSignal): Promise<RemoteFile | null> {
    return await this.#direct.stat(key, signal);
  }

  list(prefix: string, signal: AbortSignal, after?: string): AsyncGenerator<readonly RemoteFile[]> {
    return this.#direct.list(prefix, signal, after);
  }

  async read(
    file: RemoteFile,
    range: ByteRange | null,
    sink: ByteSink,
    signal: AbortSignal,
  ): Promise<number> {
    return await this.#proxied.read(file, range, sink, signal);
  }

  async readInto(
    file: RemoteFile,
    range: ByteRange | null,
    target: Target,
    options: ReceiveOptions,
  ): Promise<number> {
    return await this.#proxied.readInto(file, range, target, options);
  }
}
