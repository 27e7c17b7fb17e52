import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const SLICE_BYTES = 64 * 1024;

/** An object store of the S3 kind without signatures, which sends as slowly as a test wants, and keeps back what it is told to. */
export class TricklingStore {
  readonly files = new Map<string, Buffer>();
  /** keys whose bytes are not sent yet */
  readonly heldBack = new Set<string>();
  /** in all, over all connections */
  bytesPerSecond = Number.POSITIVE_INFINITY;
  sentBytes = 0;
  /** what programs said to it with `GET /mark/WORD`, and how much had been sent then */
  readonly marks: { readonly word: string; readonly sentBytes: number }[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #dueMs = 0;

  private constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response));
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  static async start(): Promise<TricklingStore> {
    const store = new TricklingStore();
    await new Promise<void>((resolve) => store.#server.listen(0, '127.0.0.1', resolve));
    return store;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** What conf.ini calls a folder of the bucket. */
  folder(name: string): string {
    return `s3://${this.url}/models/${name}/`;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', this.url);
    const path = decodeURIComponent(url.pathname);
    if (path.startsWith('/mark/')) {
      this.marks.push({ word: path.slice('/mark/'.length), sentBytes: this.sentBytes });
      return void response.end();
    }
    if (url.searchParams.has('list-type'))
      return void response.end(this.#list(url.searchParams.get('prefix')));
    const key = path.replace(/^\/models\//, '');
    while (this.heldBack.has(key) && !response.destroyed) await delay(20);
    const content = this.files.get(key);
    if (content === undefined) return void response.writeHead(404).end();
    const etag = etagOf(content);
    const condition = request.headers['if-match'];
    if (condition !== undefined && condition !== etag) return void response.writeHead(412).end();
    await this.#send(response, { content, etag, range: request.headers.range ?? '' });
  }

  #list(prefix: string | null): string {
    const entries = [...this.files]
      .filter(([key]) => key.startsWith(prefix ?? ''))
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(
        ([key, content]) =>
          `<Contents><Key>${key}</Key><Size>${content.length}</Size><ETag>${etagOf(content)}</ETag></Contents>`,
      );
    return `<ListBucketResult><IsTruncated>false</IsTruncated>${entries.join('')}</ListBucketResult>`;
  }

  async #send(
    response: ServerResponse,
    what: { readonly content: Buffer; readonly etag: string; readonly range: string },
  ): Promise<void> {
    const { content, etag, range } = what;
    const [, from = 0, last = content.length - 1] = /^bytes=(\d+)-(\d+)$/.exec(range)?.map(Number) ?? [];
    const to = Math.min(last, content.length - 1);
    response.writeHead(206, {
      ...{ etag, 'content-length': to - from + 1 },
      'content-range': `bytes ${from}-${to}/${content.length}`,
    });
    response.flushHeaders();
    for (let at = from; at <= to && !response.destroyed; at += SLICE_BYTES) {
      const slice = content.subarray(at, Math.min(at + SLICE_BYTES, to + 1));
      await this.#turn(slice.length);
      response.write(slice);
      this.sentBytes += slice.length;
    }
    response.end();
  }

  async #turn(bytes: number): Promise<void> {
    const nowMs = performance.now();
    this.#dueMs = Math.max(this.#dueMs, nowMs) + (bytes / this.bytesPerSecond) * 1000;
    if (this.#dueMs - nowMs > 5) await delay(this.#dueMs - nowMs);
  }
}

function etagOf(content: Buffer): string {
  return `"${createHash('md5').update(content.subarray(0, 64)).update(String(content.length)).digest('hex')}"`;
}
