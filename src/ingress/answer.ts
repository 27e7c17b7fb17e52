import type { ServerResponse } from 'node:http';
import type { ResponseHead } from '../channel/messages.ts';
import { type AnswerHead, answerHead } from './answer-head.ts';
import type { FrameworkError } from './framework-error.ts';

/** How long a client may take to read the last of an answer that is cut. */
const CUT_MS = 2_000;

export interface AnswerOptions {
  readonly requestId: string;
  /** the connection carries no further request */
  readonly isLast: boolean;
}

/** The answer to one request on its way from a replica to the client's socket. */
export class Answer {
  readonly #response: ServerResponse;
  readonly #options: AnswerOptions;
  /** came, but waits for the first bytes of the body, so that both leave in one packet */
  #pending: AnswerHead | null = null;
  /** what the announced length leaves to be sent; null where none was announced */
  #owedBytes: number | null = null;
  #isAwaitingDrain = false;

  constructor(response: ServerResponse, options: AnswerOptions) {
    this.#response = response;
    this.#options = options;
  }

  /** @returns what is wrong with the head; nothing was sent then, and `fail` may still be called */
  begin(head: ResponseHead, end: boolean): string | null {
    const prepared = answerHead(head);
    if (prepared.problem !== null) return prepared.problem;
    this.#owedBytes = prepared.announcedBytes;
    this.#pending = prepared;
    if (end) {
      this.#sendHead(mayHaveBody(head.status) ? (this.#owedBytes ?? 0) : null);
      this.#response.end();
    } else process.nextTick(() => this.#flush());
    return null;
  }

  /**
   * Passes on a part of the body.
   * @returns `flowing`; `full` when the client reads slower than this (see `onDrained`); `broken` when it is not as long
   * as announced: the connection was cut, because what was sent cannot be taken back
   */
  write(chunk: Buffer, end: boolean): 'flowing' | 'full' | 'broken' {
    if (this.#pending !== null) this.#sendHead(end ? (this.#owedBytes ?? chunk.length) : this.#owedBytes);
    if (this.#owedBytes !== null && this.#hasBody) {
      this.#owedBytes -= chunk.length;
      if (this.#owedBytes < 0 || (end && this.#owedBytes > 0)) {
        this.cut();
        return 'broken';
      }
    }
    if (end) {
      this.#response.end(chunk);
      return 'flowing';
    }
    return this.#response.write(chunk) ? 'flowing' : 'full';
  }

  /** Calls back once, when the client has read what it was sent; asked again meanwhile, it is still once. */
  onDrained(drained: () => void): void {
    if (this.#isAwaitingDrain) return;
    this.#isAwaitingDrain = true;
    this.#response.once('drain', () => {
      this.#isAwaitingDrain = false;
      drained();
    });
  }

  /** Answers with an error of the framework; cuts the connection where an answer has begun. */
  fail(error: FrameworkError): void {
    this.#pending = null;
    if (this.#response.headersSent) this.cut();
    else sendFrameworkError(this.#response, error, this.#options);
  }

  /** The client gets what was sent so far, and sees that it is not whole. */
  cut(): void {
    const { socket } = this.#response;
    if (socket === null || socket.destroyed) {
      this.#response.destroy();
      return;
    }
    const deadline = setTimeout(() => socket.destroy(), CUT_MS);
    socket.once('close', () => clearTimeout(deadline));
    // Not at once: what was written in this turn, such as the event that says what went wrong, is still in here, and
    // node:http (from 26 on also the head) hands it to the socket at the turn's end.
    process.nextTick(() => socket.destroySoon());
  }

  get #hasBody(): boolean {
    return this.#response.req.method !== 'HEAD' && mayHaveBody(this.#response.statusCode);
  }

  /** For answers whose body takes its time: the client gets the head now. */
  #flush(): void {
    if (this.#pending === null || this.#response.destroyed) return;
    this.#sendHead(this.#owedBytes);
    this.#response.flushHeaders();
  }

  #sendHead(length: number | null): void {
    const head = this.#pending;
    if (head === null) return;
    this.#pending = null;
    const headers = [...head.headers];
    if (length !== null) headers.push('content-length', String(length));
    headers.push('x-request-id', this.#options.requestId);
    if (this.#options.isLast) headers.push('connection', 'close');
    this.#response.writeHead(head.status, headers);
  }
}

/** The JSON of an error of the framework, and whether the connection goes on. */
export function sendFrameworkError(
  response: ServerResponse,
  error: FrameworkError,
  options: AnswerOptions,
): void {
  const body = Buffer.from(
    JSON.stringify({ status: 0, code: error.code, info: error.info, request_id: options.requestId }),
  );
  const headers = ['content-type', 'application/json; charset=utf-8', 'content-length', String(body.length)];
  for (const [name, value] of error.headers) headers.push(name, value);
  headers.push('x-request-id', options.requestId);
  if (options.isLast) headers.push('connection', 'close');
  response.writeHead(error.status, headers);
  response.end(body);
}

function mayHaveBody(status: number): boolean {
  return status !== 204 && status !== 304;
}
