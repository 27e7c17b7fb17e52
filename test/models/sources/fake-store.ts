import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { ContentStore } from '../../../src/lib/content/content-store.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { RemoteModels } from '../../../src/models/remote-models.ts';
import { tempDir } from '../../support/temp-dir.ts';

const OBJECTS = new Map([
  ['dir/a b+&é.json', Buffer.from('{}')],
  ['dir/deep/', Buffer.alloc(0)],
  ['dir/deep/w.bin', randomBytes(9 * 1024 ** 2)],
  ['dir-old/w.bin', Buffer.from('old')],
]);

/** What `obtain` gives of the store's folder `dir`. */
export const expected = ['a b+&é.json', 'deep/w.bin'].map((path) => {
  const content = OBJECTS.get(`dir/${path}`) as Buffer;
  return [path, createHash('sha256').update(content).digest('hex')];
});

export interface StoreOptions {
  /** what is in the bucket */
  readonly objects?: ReadonlyMap<string, Buffer>;
  /** @param key '' for a listing */
  readonly isAllowed: (request: IncomingMessage, key: string) => boolean;
  /** how pages are asked for: by the last key, or by a token that says nothing */
  readonly next: 'marker' | 'continuation-token';
  /** answers what is no business of the store; false: it was not for it */
  readonly beside?: (request: IncomingMessage, response: ServerResponse) => boolean;
}

interface OpenStore {
  readonly host: string;
  readonly pause: () => Promise<void>;
  readonly resume: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** A store with the bucket `bkt`, in pages of one object each, until the test ends. @returns `host:port` */
export async function startStore(options: StoreOptions): Promise<string> {
  const { host, stop } = await openStore(options);
  onTestFinished(stop);
  return host;
}

/** The same until it is stopped; it may be away for a while. */
export async function openStore(options: StoreOptions): Promise<OpenStore> {
  const objects = options.objects ?? OBJECTS;
  const server = createServer((request, response) => {
    if (options.beside?.(request, response) === true) return;
    const url = new URL(request.url ?? '', 'http://x');
    const key = decodeURIComponent(url.pathname.slice('/bkt/'.length));
    if (!options.isAllowed(request, key)) refuse(response, 403, 'SignatureDoesNotMatch');
    else if (key === '') response.end(listing(objects, url.searchParams, options.next));
    else give(objects.get(key), request, response);
  });
  const listen = async (port: number): Promise<void> =>
    await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const stop = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  };
  return { host: `127.0.0.1:${port}`, pause: stop, resume: async () => await listen(port), stop };
}

/** Paths and hashes of what a URI's folder holds. */
export async function obtain(uri: string, variables: Record<string, string>) {
  const dir = tempDir();
  const store = new ContentStore({ recordsDir: join(dir, 'contents'), filesDir: join(dir, 'models') });
  const places = { partialDir: join(dir, 'partial'), digestsDir: join(dir, 'digests') };
  const models = new RemoteModels({ variables, ...places }, { store, log: silentLog });
  onTestFinished(async () => await models.stop());
  const how = { isDryRun: false, signal: new AbortController().signal };
  const { content } = await models.obtain(uri, how);
  return content.files.map((file) => [file.path, file.sha256]);
}

function listing(
  objects: ReadonlyMap<string, Buffer>,
  query: URLSearchParams,
  nextName: StoreOptions['next'],
): string {
  const asked = query.get(nextName) ?? '';
  const token = nextName === 'marker' ? asked : Buffer.from(asked, 'base64').toString();
  const after = token || (query.get('start-after') ?? '');
  const keys = [...objects.keys()]
    .filter((key) => key.startsWith(query.get('prefix') ?? '') && key > after)
    .sort();
  const [key = ''] = keys;
  const content = objects.get(key) ?? Buffer.alloc(0);
  const entry = `<Contents><Key>${encodeURIComponent(key)}</Key><ETag>${etagOf(content)}</ETag><Size>${content.length}</Size></Contents>`;
  const isTruncated = keys.length > 1;
  const next =
    nextName === 'marker'
      ? `<NextMarker>${encodeURIComponent(key)}</NextMarker>`
      : `<NextContinuationToken>${Buffer.from(key).toString('base64')}</NextContinuationToken>`;
  return [
    '<ListBucketResult><EncodingType>url</EncodingType>',
    ...[`<IsTruncated>${isTruncated}</IsTruncated>`, isTruncated ? next : '', keys.length === 0 ? '' : entry],
    '</ListBucketResult>',
  ].join('');
}

function give(content: Buffer | undefined, request: IncomingMessage, response: ServerResponse): void {
  if (content === undefined) return void refuse(response, 404, 'NoSuchKey');
  const { range = '', 'if-match': condition } = request.headers;
  if (condition !== undefined && condition !== etagOf(content)) {
    return void refuse(response, 412, 'PreconditionFailed');
  }
  const [from = 0, to = 0] = range.slice('bytes='.length).split('-').map(Number);
  const part = content.subarray(from, to + 1);
  const contentRange = `bytes ${from}-${from + part.length - 1}/${content.length}`;
  const headers = { etag: etagOf(content), 'content-range': contentRange, 'content-length': part.length };
  response.writeHead(206, headers).end(part);
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status).end(`<Error><Code>${code}</Code><Message>no</Message></Error>`);
}

function etagOf(content: Buffer): string {
  return `"${createHash('md5').update(content).digest('hex').toUpperCase()}"`;
}
