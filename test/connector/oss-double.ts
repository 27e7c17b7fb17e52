import { createHash, createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** Answers a request in place of the store. @returns false to leave it to the store */
type Trouble = (request: IncomingMessage, response: ServerResponse) => boolean;

/** A key that the store knows. */
interface KnownKey {
  readonly secret: string;
  /** of temporary credentials: has to come with the request */
  readonly token?: string;
}

/** A store that speaks as OSS does, by path, and refuses what is not signed as version 1 has it. */
export interface OssDouble {
  /** `127.0.0.1:port` */
  readonly endpoint: string;
  /** by `bucket/key` */
  readonly objects: Map<string, Buffer>;
  readonly keys: Map<string, KnownKey>;
  /** `GET bucket/key bytes=…` of each request that was not refused */
  readonly requests: string[];
  /** asked first, for each request */
  trouble: Trouble;
  /** answered once `held` is over */
  isHeld: (request: IncomingMessage) => boolean;
  held: Promise<void>;
  /** as the store does without trouble */
  answer(request: IncomingMessage, response: ServerResponse): void;
}

/** Its key is `an-id` with the secret `a-secret`. */
export async function startOss(objects: Readonly<Record<string, Buffer>> = {}): Promise<OssDouble> {
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    if (oss.trouble(request, response)) return;
    if (oss.isHeld(request)) void oss.held.then(() => oss.answer(request, response));
    else oss.answer(request, response);
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
  const oss: OssDouble = {
    endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    objects: new Map(Object.entries(objects)),
    keys: new Map([['an-id', { secret: 'a-secret' }]]),
    requests: [],
    trouble: () => false,
    isHeld: () => false,
    held: Promise.resolve(),
    answer: (request, response) => answer(oss, request, response),
  };
  return oss;
}

export function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status).end(`<Error><Code>${code}</Code><Message>no</Message></Error>`);
}

function answer(oss: OssDouble, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '', 'http://x');
  const name = decodeURIComponent(url.pathname.slice(1));
  const code = mistakeIn(oss, request, `/${name}`);
  const prefix = url.searchParams.get('prefix');
  const content = oss.objects.get(name);
  if (code === null) oss.requests.push(`GET ${name} ${request.headers.range ?? prefix}`);
  if (code !== null) refuse(response, 403, code);
  else if (prefix !== null) response.end(listing(oss, name.slice(0, -1), url.searchParams));
  else if (content === undefined) refuse(response, 404, 'NoSuchKey');
  else give(content, request.headers, response);
}

function give(content: Buffer, headers: IncomingHttpHeaders, response: ServerResponse): void {
  const etag = etagOf(content);
  const condition = headers['if-match'];
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
  const [from, to] = [Number(first), Number(last)];
  const part = content.subarray(from, to + 1);
  if (condition !== undefined && condition !== etag) refuse(response, 412, 'PreconditionFailed');
  else if (first === undefined) response.writeHead(200, { etag }).end(content);
  else if (from >= content.length) refuse(response, 416, 'InvalidRange');
  else {
    const range = `bytes ${from}-${from + part.length - 1}/${content.length}`;
    response.writeHead(206, { etag, 'content-range': range, 'content-length': part.length }).end(part);
  }
}

const etags = new WeakMap<Buffer, string>();

function etagOf(content: Buffer): string {
  const known = etags.get(content) ?? `"${createHash('md5').update(content).digest('hex').toUpperCase()}"`;
  etags.set(content, known);
  return known;
}

/** The words of OSS for what is wrong with a signature; null when it is right. */
function mistakeIn(oss: OssDouble, { headers }: IncomingMessage, resource: string): string | null {
  const [, id = '', signature] = /^OSS ([^:]+):(.+)$/.exec(headers.authorization ?? '') ?? [];
  const key = oss.keys.get(id);
  if (key === undefined) return 'InvalidAccessKeyId';
  if (headers['x-oss-security-token'] !== key.token) return 'InvalidSecurityToken';
  const own = Object.entries(headers).filter(([name]) => name.startsWith('x-oss-'));
  const lines = own.map(([name, value]) => `${name}:${value}\n`).sort();
  const text = `GET\n\n\n${headers.date}\n${lines.join('')}${resource}`;
  const expected = createHmac('sha1', key.secret).update(text).digest('base64');
  return signature === expected ? null : 'SignatureDoesNotMatch';
}

function listing({ objects }: OssDouble, bucket: string, query: URLSearchParams): string {
  const isSecond = query.get('list-type') === '2';
  const after = query.get(isSecond ? 'start-after' : 'marker') ?? '';
  const since = [after, query.get('continuation-token') ?? ''].sort().at(-1) ?? '';
  const most = Number(query.get('max-keys') ?? 100);
  const keys = [...objects.keys()]
    .filter((name) => name.startsWith(`${bucket}/${query.get('prefix') ?? ''}`))
    .map((name) => name.slice(bucket.length + 1))
    .filter((key) => key > since)
    .sort();
  const page = keys.slice(0, most);
  const entries = page.map((key) => {
    const content = objects.get(`${bucket}/${key}`) ?? Buffer.alloc(0);
    return `<Contents><Key>${encodeURIComponent(key)}</Key><ETag>${etagOf(content)}</ETag><Size>${content.length}</Size></Contents>`;
  });
  const isTruncated = keys.length > most;
  const tag = isSecond ? 'NextContinuationToken' : 'NextMarker';
  const next = isTruncated ? `<${tag}>${encodeURIComponent(page.at(-1) ?? '')}</${tag}>` : '';
  return `<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>${isTruncated}</IsTruncated>${next}${entries.join('')}</ListBucketResult>`;
}
