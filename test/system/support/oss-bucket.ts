import { createHash, createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { onTestFinished } from 'vitest';

const ID = 'an-id';
const SECRET = 'a-secret';
const BUCKET = 'example-bucket';

/** A bucket of OSS that wants signatures of version 1, and gives the bytes of a file only when a test lets it. */
export interface OssBucket {
  /** what a program's environment holds to reach it */
  readonly variables: Readonly<Record<string, string>>;
  readonly objects: Map<string, Buffer>;
  /** keys whose bytes do not come until they are let go */
  readonly held: Set<string>;
  /** keys that are refused, with the status */
  readonly refused: Map<string, number>;
  /** `key first-last` of each request for bytes, as they came */
  readonly reads: string[];
  letGo(key: string): void;
}

export async function startOssBucket(objects: Readonly<Record<string, Buffer>>): Promise<OssBucket> {
  const sockets = new Set<Socket>();
  const waiting = new Map<string, (() => void)[]>();
  const server = createServer((request, response) => {
    const key = decodeURIComponent(new URL(request.url ?? '', 'http://x').pathname).slice(BUCKET.length + 2);
    if (!isSigned(request, `/${BUCKET}/${key}`)) {
      refuse(response, 403, 'SignatureDoesNotMatch');
      return;
    }
    if (key === '') {
      response.end(listing(bucket.objects, new URL(request.url ?? '', 'http://x')));
      return;
    }
    bucket.reads.push(`${key} ${request.headers.range?.slice('bytes='.length)}`);
    const go = (): void => give(bucket, key, request, response);
    if (bucket.held.has(key)) waiting.set(key, [...(waiting.get(key) ?? []), go]);
    else go();
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const bucket: OssBucket = {
    variables: {
      ...{ OSS_ACCESS_KEY_ID: ID, OSS_ACCESS_KEY_SECRET: SECRET },
      OSS_ENDPOINT: `127.0.0.1:${(server.address() as AddressInfo).port}`,
      OSS_PATH: `oss://${BUCKET}/example-model-path/`,
    },
    objects: new Map(
      Object.entries(objects).map(([name, content]) => [`example-model-path/${name}`, content]),
    ),
    ...{ held: new Set(), refused: new Map(), reads: [] },
    letGo: (key) => {
      bucket.held.delete(key);
      for (const go of waiting.get(key) ?? []) go();
      waiting.delete(key);
    },
  };
  return bucket;
}

function give(bucket: OssBucket, key: string, request: IncomingMessage, response: ServerResponse): void {
  const content = bucket.objects.get(key);
  const status = bucket.refused.get(key) ?? (content === undefined ? 404 : null);
  if (content === undefined || status !== null) {
    refuse(response, status ?? 404, 'AccessDenied');
    return;
  }
  const etag = etagOf(content);
  if (request.headers['if-match'] !== etag) {
    refuse(response, 412, 'PreconditionFailed');
    return;
  }
  const [from = 0, to = 0] = (request.headers.range ?? '').slice('bytes='.length).split('-').map(Number);
  const part = content.subarray(from, to + 1);
  const range = `bytes ${from}-${from + part.length - 1}/${content.length}`;
  response.writeHead(206, { etag, 'content-range': range, 'content-length': part.length }).end(part);
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status).end(`<Error><Code>${code}</Code><Message>no</Message></Error>`);
}

function listing(objects: ReadonlyMap<string, Buffer>, url: URL): string {
  const entries = [...objects]
    .filter(([key]) => key.startsWith(url.searchParams.get('prefix') ?? ''))
    .sort()
    .map(
      ([key, content]) =>
        `<Contents><Key>${key}</Key><ETag>${etagOf(content)}</ETag><Size>${content.length}</Size></Contents>`,
    );
  return `<ListBucketResult><IsTruncated>false</IsTruncated>${entries.join('')}</ListBucketResult>`;
}

function isSigned({ headers }: IncomingMessage, resource: string): boolean {
  const own = Object.entries(headers).filter(([name]) => name.startsWith('x-oss-'));
  const lines = own.map(([name, value]) => `${name}:${value}\n`).sort();
  const text = `GET\n\n\n${headers.date}\n${lines.join('')}${resource}`;
  const signature = createHmac('sha1', SECRET).update(text).digest('base64');
  return headers.authorization === `OSS ${ID}:${signature}`;
}

const etags = new WeakMap<Buffer, string>();

function etagOf(content: Buffer): string {
  const etag = etags.get(content) ?? `"${createHash('md5').update(content).digest('hex')}"`;
  etags.set(content, etag);
  return etag;
}
