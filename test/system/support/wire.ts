import { Agent, type Dispatcher, request } from 'undici';

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  readonly json: { readonly [key: string]: unknown };
}

/** One client of a cluster: a connection for each request that is under way. Every request ends when the client does. */
export class Client {
  readonly #agent = new Agent({ pipelining: 0, headersTimeout: 0, bodyTimeout: 0 });
  readonly #url: (route: string) => string;

  constructor(url: (route: string) => string) {
    this.#url = url;
  }

  /** Sends JSON and reads the whole answer. */
  async ask(route: string, body: object, options: Partial<Dispatcher.RequestOptions> = {}): Promise<Reply> {
    const answer = await this.open(route, body, options);
    const text = await answer.body.text();
    const { statusCode: status, headers } = answer;
    return { status, headers, text, json: text.startsWith('{') ? JSON.parse(text) : {} };
  }

  /** As `ask`, but leaves the body of the answer to the caller. */
  open(
    route: string,
    body: object,
    options: Partial<Dispatcher.RequestOptions> = {},
  ): Promise<Dispatcher.ResponseData> {
    return request(this.#url(route), {
      ...options,
      method: 'POST',
      dispatcher: this.#agent,
      body: JSON.stringify(body),
    });
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }
}
