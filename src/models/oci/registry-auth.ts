import type { Variables } from '../../config/environment.ts';
import { type Answer, type Exchange, textOf } from '../sources/exchange.ts';
import { encodeStrictly, type StoreRequest } from '../sources/requests.ts';
import { SourceError } from '../sources/types.ts';
import { type CredentialSearch, registryCredentials } from './docker-config.ts';

export interface RegistryAuthOptions {
  /** as credentials name it */
  readonly registry: string;
  /** `http://` or `https://` and the host that is asked */
  readonly origin: string;
  /** `repository:team/model:pull` */
  readonly scope: string;
  readonly variables: Variables;
}

/** What a registry wants to see before it answers. */
interface Challenge {
  readonly scheme: 'basic' | 'bearer';
  readonly parameters: Readonly<Record<string, string>>;
}

/** Says who asks, in the way a registry wants it: not at all, by name and password, or by a token that is got for them. */
export class RegistryAuth {
  readonly #options: RegistryAuthOptions;
  readonly #exchange: Exchange;
  #header: string | null = null;
  /** one for all requests that were refused at the same time */
  #renewal: Promise<string | null> | null = null;
  /** what was found, for messages */
  #origin = '';

  constructor(options: RegistryAuthOptions, exchange: Exchange) {
    this.#options = options;
    this.#exchange = exchange;
  }

  /** To be sent with a request; empty until the registry has asked for something. */
  get headers(): Readonly<Record<string, string>> {
    return this.#header === null ? {} : { authorization: this.#header };
  }

  /** What to say about a refusal. */
  get hint(): string {
    return this.#origin;
  }

  /**
   * Does what an answer with 401 asks for.
   * @param sent what the refused request had as its authorization
   * @returns false when nothing is left to try
   * @throws SourceError when a token cannot be had
   */
  async answer(refusal: Answer, sent: string | undefined, signal: AbortSignal): Promise<boolean> {
    if (this.#header !== null && this.#header !== sent) return true; // renewed meanwhile
    const challenge = challengeIn(refusal);
    if (challenge === null) return false;
    this.#renewal ??= this.#renew(challenge, signal).finally(() => {
      this.#renewal = null;
    });
    const header = await this.#renewal;
    const isOther = header !== null && header !== sent;
    if (isOther) this.#header = header;
    return isOther;
  }

  async #renew({ scheme, parameters }: Challenge, signal: AbortSignal): Promise<string | null> {
    const { registry, variables } = this.#options;
    const search = await registryCredentials(registry, variables); // those of a file may have been renewed
    this.#origin = search.origin;
    if (scheme === 'basic') return search.credentials === null ? null : basicHeader(search.credentials);
    return `Bearer ${await this.#token(parameters, search, signal)}`;
  }

  async #token(
    parameters: Challenge['parameters'],
    search: CredentialSearch,
    signal: AbortSignal,
  ): Promise<string> {
    const { registry } = this.#options;
    const place = `the token server of ${registry}`;
    const realm = this.#realm(parameters['realm'] ?? '', place);
    return await this.#exchange.get(
      `${place} (${realm.origin}${realm.pathname})`,
      () => this.#tokenRequest(realm, parameters, search),
      async (answer) => {
        const text = await textOf(answer);
        const token = answer.statusCode === 200 ? tokenIn(text) : '';
        if (token !== '') return token;
        const what = answer.statusCode === 200 ? 'no token' : `status ${answer.statusCode}`;
        throw new SourceError(`${place} (${realm.origin}${realm.pathname}) gives ${what}; ${search.origin}`, {
          code: 'SOURCE_REFUSED',
        });
      },
      signal,
    );
  }

  /** A password does not go over a plain line because an answer says so. */
  #realm(text: string, place: string): URL {
    const { origin } = this.#options;
    const url = URL.canParse(text) ? new URL(text) : null;
    const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && origin.startsWith('http:'));
    if (url !== null && isSafe) return url;
    throw new SourceError(`${place}: the registry names ${JSON.stringify(text)}, which is no https address`, {
      code: 'SOURCE_ANSWER',
    });
  }

  #tokenRequest(
    realm: URL,
    { service = '' }: Challenge['parameters'],
    { credentials }: CredentialSearch,
  ): StoreRequest {
    const { scope } = this.#options;
    const { origin } = realm;
    if (credentials !== null && credentials.identityToken !== '') {
      const form = { grant_type: 'refresh_token', service, scope, client_id: 'modelserve' };
      const fields = Object.entries({ ...form, refresh_token: credentials.identityToken });
      const body = fields.map(([name, value]) => `${name}=${encodeStrictly(value)}`).join('&');
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      return {
        ...{ origin, path: realm.pathname, query: [], headers },
        method: 'POST',
        body: Buffer.from(body),
      };
    }
    const own = [...realm.searchParams].filter(([name]) => name !== 'service' && name !== 'scope');
    const query = [
      ...own,
      ...(service === '' ? [] : [['service', service] as const]),
      ['scope', scope] as const,
    ];
    const headers = credentials === null ? {} : { authorization: basicHeader(credentials) };
    return { origin, path: realm.pathname, query, headers };
  }
}

function basicHeader({ user, password }: { readonly user: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

/** The first way to identify oneself that is known here. */
function challengeIn({ headers }: Answer): Challenge | null {
  const lines = [headers['www-authenticate'] ?? []].flat();
  for (const line of lines) {
    const [, scheme = '', rest = ''] = /^\s*(basic|bearer)\s+(.*)$/i.exec(line) ?? [];
    if (scheme === '') continue;
    const pairs = [...rest.matchAll(/([a-z_]+)="([^"]*)"/gi)].map(([, name = '', value = '']) => [
      name.toLowerCase(),
      value,
    ]);
    return {
      scheme: scheme.toLowerCase() === 'basic' ? 'basic' : 'bearer',
      parameters: Object.fromEntries(pairs) as Record<string, string>,
    };
  }
  return null;
}

function tokenIn(text: string): string {
  try {
    const { token, access_token } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    const found = typeof token === 'string' ? token : access_token;
    return typeof found === 'string' ? found : '';
  } catch {
    return '';
  }
}
