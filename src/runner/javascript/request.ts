import { type InspectOptions, inspect } from 'node:util';
import { messageOf } from '../../lib/errors.ts';
import type { IncomingCall } from './incoming-call.ts';

/** The body of a request is not what user code asked for. If user code lets this pass, the client gets 400 instead of 500. */
export class BadBodyError extends SyntaxError {
  override readonly name = 'BadBodyError';
  readonly code: 'BAD_JSON' | 'BAD_FORM';

  constructor(code: BadBodyError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** What `call(request)` gets: the request as it came in, whole. `Headers` and the like are made when they are looked at first. */
export class BackendRequest {
  readonly #call: IncomingCall;
  #headers: Headers | null = null;
  #queryParams: URLSearchParams | null = null;

  constructor(call: IncomingCall) {
    this.#call = call;
  }

  get id(): string {
    return this.#call.head.id;
  }

  get method(): string {
    return this.#call.head.method;
  }

  get path(): string {
    return this.#call.head.path;
  }

  /** The whole address, as the client named it. */
  get url(): string {
    const { scheme, path, query } = this.#call.head;
    return `${scheme}://${this.headers.get('host') ?? 'localhost'}${path}${query === '' ? '' : `?${query}`}`;
  }

  get headers(): Headers {
    this.#headers ??= headersOf(this.#call.head.headers);
    return this.#headers;
  }

  get queryParams(): URLSearchParams {
    this.#queryParams ??= new URLSearchParams(this.#call.head.query);
    return this.#queryParams;
  }

  get client(): { readonly host: string; readonly port: number } | null {
    const { client } = this.#call.head;
    return client === null ? null : { host: client[0], port: client[1] };
  }

  /** Aborted when the client has gone or its deadline has passed: nobody will read the answer. */
  get signal(): AbortSignal {
    return this.#call.signal;
  }

  /** What `console.log(request)` shows: getters would not be. */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    const { id, method, url, client, headers } = this;
    return `BackendRequest ${inspect({ id, method, url, client, headers }, options)}`;
  }

  /** The body as bytes. They belong to the caller. */
  async body(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#call.bytes;
  }

  /** The body as UTF-8 text. */
  async text(): Promise<string> {
    return this.#call.text;
  }

  /**
   * The body as JSON; without a body the query parameters as an object of strings (the last of equal names).
   * @throws BadBodyError saying where the body stops being JSON
   */
  async json(): Promise<unknown> {
    if (!this.#call.hasBody) return Object.fromEntries(this.queryParams);
    try {
      return JSON.parse(this.#call.text);
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
      return await new Response(this.#call.bytes, { headers: { 'content-type': type } }).formData();
    } catch (error) {
      throw new BadBodyError(
        'BAD_FORM',
        `the body of the request is no form of type "${type}": ${messageOf(error)}`,
      );
    }
  }
}

/** Names and values were checked by the HTTP server; what `Headers` refuses nevertheless (`:` pseudo names) is left out. */
function headersOf(pairs: readonly (readonly [string, string])[]): Headers {
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
