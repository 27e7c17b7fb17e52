import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import { Agent, type Dispatcher, ProxyAgent } from 'undici';
import type { Variables } from '../../config/environment.ts';
import { codeOf, messageOf } from '../../lib/errors.ts';
import type { TlsSettings } from '../receive/connection.ts';
import { passing } from './passing.ts';
import { type ProxyServer, proxyFor } from './proxies.ts';
import { SourceError } from './types.ts';

/** Whom a connection by TLS believes, beside what Node believes anyway. */
export interface Trust {
  /** certificates in PEM; '' for none */
  readonly ca: string;
  /** false: whoever answers is believed */
  readonly isVerified: boolean;
}

/** A request beside those for models: for tokens and keys. */
export interface Question {
  readonly url: string;
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly timeoutMs?: number;
  /** metadata servers are asked from the machine itself and never by a proxy */
  readonly isDirect?: boolean;
}

export interface Told {
  readonly status: number;
  readonly text: string;
}

/** Asks a server for a token or a key. @throws what is worth another try, when there is no answer */
export type AskServer = (question: Question) => Promise<Told>;

/** Sends requests, wherever they go. */
export interface Sender {
  request(options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData>;
}

/** The open connections of an exchange. */
export interface ConnectionPool {
  to(origin: string, trust?: Trust): Sender;
  /** whether a server is asked without a proxy, and is believed as all are */
  isPlain(origin: string, trust?: Trust): boolean;
  proxyTo(origin: string): ProxyServer | null;
  readonly tls: TlsSettings;
  readonly ask: AskServer;
  /** whose variables proxies and credentials are looked for in, for messages */
  readonly environment: string;
  /** where a file with certificates is named, for messages */
  readonly trusted: string;
  close(): Promise<void>;
}

const MAX_CONNECTIONS = 32;
const USUAL: Trust = { ca: '', isVerified: true };
const ASK_TIMEOUT_MS = 30_000;

/** The open connections of an exchange, by proxy and by whom they believe. */
export class Connections implements ConnectionPool {
  readonly #variables: Variables;
  readonly #silenceMs: number;
  readonly environment: string;
  readonly #agents = new Map<string, Dispatcher>();
  #ownCertificates: readonly string[] | null = null;

  constructor(variables: Variables, silenceMs: number, environment = 'the environment') {
    this.#variables = variables;
    this.#silenceMs = silenceMs;
    this.environment = environment;
  }

  get trusted(): string {
    return `SSL_CERT_FILE in ${this.environment}`;
  }

  /** What sends requests to a server, by the proxy that the environment names for it. */
  to(origin: string, trust: Trust = USUAL): Dispatcher {
    return this.#agent(this.proxyTo(origin), trust);
  }

  /** Whether a server is asked without a proxy, and is believed as all are. */
  isPlain(origin: string, { ca, isVerified }: Trust = USUAL): boolean {
    return ca === '' && isVerified && this.proxyTo(origin) === null;
  }

  /** Settings for connections to servers that are believed as all are. */
  get tls(): TlsSettings {
    const certificates = this.#certificates();
    return certificates.length === 0 ? {} : { ca: [...rootCertificates, ...certificates] };
  }

  proxyTo(origin: string): ProxyServer | null {
    return proxyFor(origin, this.#variables, this.environment);
  }

  readonly ask: AskServer = async ({ url, method, headers = {}, body = null, ...how }) => {
    const { origin, pathname, search } = new URL(url);
    const timeoutMs = how.timeoutMs ?? ASK_TIMEOUT_MS;
    const agent = how.isDirect === true ? this.#agent(null, USUAL) : this.to(origin);
    try {
      const answer = await agent.request({
        ...{ origin, path: `${pathname}${search}`, method, headers, body },
        // One time for all of it: a metadata server that is not there swallows what is sent to it.
        ...{ headersTimeout: timeoutMs, bodyTimeout: timeoutMs, signal: AbortSignal.timeout(timeoutMs) },
      });
      return { status: answer.statusCode, text: await answer.body.text() };
    } catch (error) {
      throw passing(`${origin}: ${silenceText(error)}`);
    }
  };

  /** Ends all, also those in use. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([...this.#agents.values()].map(async (agent) => await agent.destroy()));
  }

  /** What `SSL_CERT_FILE` and `NODE_EXTRA_CA_CERTS` name: Node forgets the latter as soon as others are given. */
  #certificates(): readonly string[] {
    this.#ownCertificates ??= ['SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS'].flatMap((name) => {
      const path = this.#variables[name] || null;
      return path === null ? [] : [certificatesIn(path, name)];
    });
    return this.#ownCertificates;
  }

  #agent(proxy: ProxyServer | null, trust: Trust): Dispatcher {
    const key = JSON.stringify([proxy?.url ?? '', trust]);
    const known = this.#agents.get(key);
    if (known !== undefined) return known;
    const agent = this.#open(proxy, trust);
    this.#agents.set(key, agent);
    return agent;
  }

  #open(proxy: ProxyServer | null, { ca, isVerified }: Trust): Dispatcher {
    const silenceMs = this.#silenceMs;
    const tls = {
      ...(ca === '' ? this.tls : { ca: [...rootCertificates, ...this.#certificates(), ca] }),
      ...(isVerified ? {} : { rejectUnauthorized: false }),
      timeout: silenceMs,
    };
    const limits = { connections: MAX_CONNECTIONS, headersTimeout: silenceMs, bodyTimeout: silenceMs };
    if (proxy === null) return new Agent({ ...limits, connect: tls });
    // Plain addresses are asked for in whole, so that a cache between sees what is asked; https goes through a tunnel.
    const ways = { proxyTunnel: false, requestTls: tls, proxyTls: { timeout: silenceMs } };
    return new ProxyAgent({ ...limits, ...ways, uri: proxy.url });
  }
}

function certificatesIn(path: string, variable: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new SourceError(
      `${variable} (${path}): expected a file of certificates, found ${messageOf(error)}`,
      { code: 'SOURCE_CREDENTIALS' },
    );
  }
}

/** Why nothing was answered, in words. */
export function silenceText(error: unknown): string {
  const code = codeOf(error) ?? '';
  const words = messageOf(error) || code;
  return /TIMEOUT|TIMEDOUT/.test(code) ? `the server has stalled: ${words}` : words;
}
