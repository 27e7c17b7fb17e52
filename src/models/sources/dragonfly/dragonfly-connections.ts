import { rootCertificates } from 'node:tls';
import { type Dispatcher, ProxyAgent } from 'undici';
import type { Log } from '../../../lib/log.ts';
import type { AskServer, ConnectionPool, Sender } from '../connections.ts';
import type { ProxyServer } from '../proxies.ts';
import type { DragonflyConfig } from './dragonfly-config.ts';

const MAX_CONNECTIONS = 32;
const REMEMBERED_TASKS = 1_024;

/** Connections that all lead to the proxy of a Dragonfly daemon: http in absolute form, https through a tunnel. */
export class DragonflyConnections implements ConnectionPool {
  readonly tls = {};
  readonly ask: AskServer;
  readonly environment: string;
  readonly trusted = 'proxy_ca in the file that TRITON_DRAGONFLY_CONFIG_PATH names';
  readonly #config: DragonflyConfig;
  readonly #agent: ProxyAgent;
  readonly #log: Log;
  readonly #tasks = new Set<string>();

  /** @param direct for what is no part of a model */
  constructor(
    config: DragonflyConfig,
    direct: ConnectionPool,
    limits: { readonly silenceMs: number; readonly log: Log },
  ) {
    this.ask = direct.ask;
    this.environment = direct.environment;
    this.#config = config;
    this.#log = limits.log;
    const { silenceMs } = limits;
    const ca = config.proxyCa === '' ? {} : { ca: [...rootCertificates, config.proxyCa] };
    this.#agent = new ProxyAgent({
      uri: config.proxy,
      // Through a tunnel a daemon sees nothing that it could keep.
      proxyTunnel: false,
      requestTls: { ...ca, timeout: silenceMs },
      proxyTls: { timeout: silenceMs },
      ...{ connections: MAX_CONNECTIONS, headersTimeout: silenceMs, bodyTimeout: silenceMs },
    });
  }

  to(): Sender {
    return { request: async (options) => await this.#request(options) };
  }

  /** Parts received past the HTTP client would go past the proxy, too. */
  isPlain(): boolean {
    return false;
  }

  proxyTo(): ProxyServer {
    const { proxy } = this.#config;
    return { url: proxy, shown: new URL(proxy).origin, variable: 'TRITON_DRAGONFLY_CONFIG_PATH' };
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #request(options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData> {
    const { headers: own, filter } = this.#config;
    const headers = {
      ...(options.headers as Readonly<Record<string, string>>),
      // The daemons written in Go read the one, those written in Rust the other.
      'x-dragonfly-filter': filter.join('&'),
      'x-dragonfly-filtered-query-params': filter.join(','),
      ...own,
    };
    const answer = await this.#agent.request({ ...options, headers });
    this.#note(answer);
    return answer;
  }

  /** Says once of each task what Dragonfly made of it. */
  #note({ statusCode, headers }: Dispatcher.ResponseData): void {
    const task = headers['x-dragonfly-task-id'];
    if (typeof task !== 'string' || this.#tasks.has(task)) return;
    if (this.#tasks.size >= REMEMBERED_TASKS) this.#tasks.clear();
    this.#tasks.add(task);
    const [finished, errorType] = ['x-dragonfly-task-download-finished', 'x-dragonfly-error-type'].map(
      (name) => headers[name],
    );
    this.#log.info({ task, statusCode, finished, errorType }, 'a part of a model by Dragonfly');
  }
}
