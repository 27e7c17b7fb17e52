import { Link, type LinkOptions } from '../channel/link.ts';
import type { RequestHead } from '../channel/messages.ts';
import type { ClientStream, StreamListener } from '../channel/streams.ts';

export interface LinkRead {
  readonly link: LinkOptions;
  /** what the far node itself answers, such as `/-/logs/…` */
  readonly path: string;
  readonly query: string;
  readonly signal: AbortSignal;
}

/**
 * Reads one answer of another node's ingress over a link of its own, as it comes. Ends when the answer does, when the
 * link breaks, or on the signal.
 */
export async function* readOverLink(read: LinkRead): AsyncGenerator<Buffer> {
  const received = new Received();
  let stream: ClientStream | null = null;
  const link = new Link(read.link, {
    onReplicas: () => {
      stream ??= link.open(requestHead(read), true, received);
    },
    onClose: () => received.end(),
  });
  const onAbort = (): void => received.end();
  read.signal.addEventListener('abort', onAbort, { once: true });
  try {
    for (;;) {
      const chunk = await received.next();
      if (chunk === null) return;
      yield chunk;
      (stream as ClientStream | null)?.grant(chunk.length);
    }
  } finally {
    read.signal.removeEventListener('abort', onAbort);
    link.close();
  }
}

/** What has come and was not read yet; bounded by the stream's window. */
class Received implements StreamListener {
  readonly #chunks: Buffer[] = [];
  #hasEnded = false;
  #wake: () => void = () => undefined;

  /** @returns null at the end */
  async next(): Promise<Buffer | null> {
    while (this.#chunks.length === 0 && !this.#hasEnded) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#chunks.shift() ?? null;
  }

  end(): void {
    this.#hasEnded = true;
    this.#wake();
  }

  onResponse(_head: unknown, end: boolean): void {
    if (end) this.end();
  }

  onData(chunk: Buffer, end: boolean): void {
    this.#chunks.push(Buffer.from(chunk)); // a copy: the received block is not kept for one small line
    if (end) this.#hasEnded = true;
    this.#wake();
  }

  onRefused(): void {
    this.end();
  }

  onFailed(): void {
    this.end();
  }

  onLost(): void {
    this.end();
  }

  onWindow(): void {
    // nothing is sent
  }
}

function requestHead({ path, query }: LinkRead): RequestHead {
  return {
    id: 'read',
    replica: '',
    method: 'GET',
    path,
    query,
    scheme: 'http',
    headers: [],
    client: null,
    timeout_ms: 0,
    expose_errors: false,
  };
}
