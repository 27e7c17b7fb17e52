import { Readable } from 'node:stream';
import { ChannelError } from './errors.ts';
import { Link, type LinkOptions } from './link.ts';
import { encodeHead, type RequestHead, type ResponseHead } from './messages.ts';
import type { ClientStream, StreamListener } from './streams.ts';

export interface LinkAnswer {
  readonly status: number;
  readonly headers: ResponseHead['headers'];
  /** destroying it ends the request, and its link with it */
  readonly body: Readable;
}

/**
 * Asks another node itself (not a replica of it) over a link of its own: `/-/logs/<deployment>/<replica>`.
 * @param query without `?`
 * @throws ChannelError CHANNEL_CONNECT, CHANNEL_TIMEOUT (no answer began within `timeoutMs`), CHANNEL_AUTH, CHANNEL_CLOSED
 */
export function linkRequest(options: LinkOptions, path: string, query: string): Promise<LinkAnswer> {
  return new Promise((resolve, reject) => {
    let isSent = false;
    const deadline = setTimeout(() => {
      link.close();
      reject(
        new ChannelError(
          'CHANNEL_TIMEOUT',
          `node ${options.peerNodeId} did not answer ${path} within ${options.timeoutMs} ms`,
        ),
      );
    }, options.timeoutMs);
    const settle = () => clearTimeout(deadline);
    const link = new Link(options, {
      onReplicas: () => {
        if (isSent) return;
        isSent = true;
        const answer = new AnswerReader(link, (outcome) => {
          settle();
          if (outcome instanceof ChannelError) reject(outcome);
          else resolve(outcome);
        });
        answer.attach(link.open(encodeHead(nodeRequest(path, query, options.timeoutMs)), true, answer));
      },
      onClose: (error) => {
        settle();
        reject(error ?? new ChannelError('CHANNEL_CLOSED', `node ${options.peerNodeId} closed the link`));
      },
    });
  });
}

function nodeRequest(path: string, query: string, timeoutMs: number): RequestHead {
  return {
    id: '',
    replica: '',
    method: 'GET',
    path,
    query,
    scheme: 'http',
    headers: [],
    client: null,
    timeout_ms: timeoutMs,
    expose_errors: false,
  };
}

/** The answer as a stream; grants the far node more as it is read. */
class AnswerReader implements StreamListener {
  readonly #link: Link;
  readonly #settle: (outcome: LinkAnswer | ChannelError) => void;
  readonly #body: Readable;
  #stream: ClientStream | null = null;
  #unreadBytes = 0;

  constructor(link: Link, settle: (outcome: LinkAnswer | ChannelError) => void) {
    this.#link = link;
    this.#settle = settle;
    this.#body = new Readable({
      read: () => this.#grant(),
      destroy: (error, done) => {
        this.#stream?.cancel();
        link.close();
        done(error);
      },
    });
  }

  attach(stream: ClientStream): void {
    this.#stream = stream;
  }

  onResponse(head: ResponseHead, end: boolean): void {
    this.#settle({ status: head.status, headers: head.headers, body: this.#body });
    if (end) this.#body.push(null);
  }

  onData(chunk: Buffer, end: boolean): void {
    this.#unreadBytes += chunk.length;
    if (chunk.length > 0 && this.#body.push(chunk)) this.#grant();
    if (end) this.#body.push(null);
  }

  onRefused(): void {
    this.#fail('the node refused');
  }

  onFailed(failure: { readonly info: string }): void {
    this.#fail(failure.info);
  }

  onWindow(): void {
    // nothing is sent to it
  }

  onLost(): void {
    this.#fail('the link broke');
  }

  #grant(): void {
    this.#stream?.grant(this.#unreadBytes);
    this.#unreadBytes = 0;
  }

  #fail(why: string): void {
    const error = new ChannelError('CHANNEL_CLOSED', why);
    this.#settle(error);
    if (this.#body.listenerCount('error') > 0) this.#body.destroy(error);
    else this.#body.destroy();
    this.#link.close();
  }
}
