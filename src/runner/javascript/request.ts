import type { RequestHead } from '../../channel/messages.ts';
import { messageOf } from '../../lib/errors.ts';

/** The body of a request is not what user code asked for. If user code lets this pass, the client gets 400 instead of 500. */
export class BadBodyError extends SyntaxError {
  override readonly name = 'BadBodyError';
  readonly code: 'BAD_JSON' | 'BAD_FORM';

  constructor(code: BadBodyError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** What `call(request)` gets: the request as it came in, whole. */
export class BackendRequest {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  /** the whole address, as the client named it */
  readonly url: string;
  readonly headers: Headers;
  readonly queryParams: URLSearchParams;
  readonly client: { readonly host: string; readonly port: number } | null;
  /** aborted when the client has gone or its deadline has passed: nobody will read the answer */
  readonly signal: AbortSignal;
  readonly #body: Uint8Array<ArrayBuffer>;

  constructor(head: RequestHead, body: Uint8Array<ArrayBuffer>, signal: AbortSignal) {
    this.id = head.id;
    this.method = head.method;
    this.path = head.path;
    this.headers = headersOf(head.headers);
    this.url = `${head.scheme}://${this.headers.get('host') ?? 'localhost'}${head.path}${head.query === '' ? '' : `?${head.query}`}`;
    this.queryParams = new URLSearchParams(head.query);
    this.client = head.client === null ? null : { host: head.client[0], port: head.client[1] };
    this.signal = signal;
    this.#body = body;
  }

  /** The body as bytes. They belong to the caller. */
  async body(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#body;
  }

  /** The body as UTF-8 text. */
  async text(): Promise<string> {
    return new TextDecoder().decode(this.#body);
  }

  /**
   * The body as JSON; without a body the query parameters as an object of strings (the last of equal names).
   * @throws BadBodyError saying where the body stops being JSON
   */
  async json(): Promise<unknown> {
    if (this.#body.length === 0) return Object.fromEntries(this.queryParams);
    const text = await this.text();
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new BadBodyError('BAD_JSON', `the body of the request is not JSON: ${messageOf(error)}`);
    }
  }

  /**
   * The body as a form, urlencoded or multipart (files are `File`s).
   * @throws BadBodyError when it is neither
   */
  async form(): Promise<FormData> {
    const type = this.headers.get('content-type') ?? '';
    try {
      return await new Response(this.#body, { headers: { 'content-type': type } }).formData();
    } catch (error) {
      throw new BadBodyError(
        'BAD_FORM',
        `the body of the request is no form of type "${type}": ${messageOf(error)}`,
      );
    }
  }
}

/** Names and values were checked by the HTTP server; what `Headers` refuses nevertheless (`:` pseudo names) is left out. */
function headersOf(pairs: RequestHead['headers']): Headers {
  const headers = new Headers();
  for (const [name, value] of pairs) {
    try {
      headers.append(name, value);
    } catch {
      // not a header that the Fetch standard can hold
    }
  }
  return headers;
}
