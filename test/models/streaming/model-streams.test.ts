import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { canMount, smallDisk } from '../../support/small-disk.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { startWebServer, type WebServer } from '../web-server.ts';
import { coming, streamingPlace } from './place.ts';

const MIB = 1024 ** 2;
const PATH = '/models/m.bin';
const content = randomBytes(20 * MIB + 17);
const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const never = new AbortController().signal;
const isSticky = (path: string): boolean => (statSync(path).mode & 0o1000) !== 0;

/** A server that keeps parts back until they are let go. */
async function slowServer(): Promise<WebServer & { letGo: () => void; asked: () => readonly string[] }> {
  const web = await startWebServer();
  web.files.set(PATH, content);
  const held: (() => void)[] = [];
  let isHeld = true;
  const again = web.trouble;
  web.trouble = (request, response) => {
    if (!isHeld || request.headers.range === 'bytes=0-0') return again(request, response);
    held.push(() => void (response.destroyed || web.answer(request, response)));
    return true;
  };
  const letGo = (): void => {
    isHeld = false;
    for (const go of held.splice(0)) go();
  };
  const asked = () => web.requests.filter((line) => !line.endsWith('bytes=0-0'));
  return Object.assign(web, { letGo, asked });
}

it('is pinned by what the server lists, asked for nothing else, and the same pin once it has come', async () => {
  const web = await slowServer();
  const place = streamingPlace();
  const uri = `${web.url}${PATH}`;
  const dry = await place.pin(uri, true);
  const pin = await place.pin(uri);
  expect(pin).toEqual({ ...dry, name: 'm.bin', sizeBytes: content.length, sha256: null });
  expect(web.asked()).toEqual([]);
  web.letGo();
  const model = await coming(place.streams, pin.listing);
  await model.whole;
  await expect.poll(async () => await place.pin(uri)).toEqual({ ...pin, sha256: sha(content) });
  web.files.set(PATH, randomBytes(content.length));
  expect((await place.pin(uri)).listing).not.toBe(pin.listing);
});

it('is there at its full size from the start, and readable once its bytes are there', async () => {
  const web = await slowServer();
  const { pin, streams, store } = streamingPlace();
  const { listing } = await pin(`${web.url}${PATH}`);
  const model = await coming(streams, listing);
  expect([statSync(model.root).size, isSticky(model.root)]).toEqual([content.length, true]);
  const inode = statSync(model.root).ino;
  const waiting = model.whenFile('', never);
  web.letGo();
  await waiting;
  expect([isSticky(model.root), sha(readFileSync(model.root))]).toEqual([false, sha(content)]);
  const { hash, root } = await model.whole;
  expect([hash, root]).toEqual([sha(content), store.pathOf(sha(content))]);
  expect(statSync(root).ino).toBe(inode);
  expect(web.sentBytes).toBe(content.length + 1);
});

it('goes on where a node process was killed, in the same files, and asks for no part twice', async () => {
  const web = await slowServer();
  const before = streamingPlace();
  const { listing } = await before.pin(`${web.url}${PATH}`);
  web.trouble = ({ headers }) => headers.range?.startsWith(`bytes=${16 * MIB}-`) === true; // it never comes
  const model = await coming(before.streams, listing);
  await model.whenRange('', { offset: 0, length: 9 * MIB }, never);
  const inode = statSync(model.root).ino;
  await before.streams.stop();
  await expect(model.whole).rejects.toMatchObject({ code: 'STREAM_STOPPED' });
  expect(isSticky(model.root)).toBe(true);
  web.trouble = () => false;
  web.sentBytes = 0;
  const after = streamingPlace(before.root);
  const again = await coming(after.streams, listing);
  expect(statSync(again.root).ino).toBe(inode);
  expect((await again.whole).hash).toBe(sha(content));
  expect(web.sentBytes).toBe(content.length - 16 * MIB);
  expect(readdirSync(join(before.root, 'partial'))).toEqual([]);
});

it.each<[string, (web: WebServer) => void, RegExp]>([
  ['is replaced', (web) => web.files.set(PATH, randomBytes(content.length)), /was replaced or removed/],
  ['is refused', (web) => Object.assign(web, { trouble: refuse }), /answers 403/],
])(
  'that %s half-way fails whoever waits, with the reason, and never counts as there',
  async (_how, spoil, reason) => {
    const web = await slowServer();
    const place = streamingPlace();
    const uri = `${web.url}${PATH}`;
    const { listing } = await place.pin(uri);
    const model = await coming(place.streams, listing);
    const waiting = Promise.allSettled([model.whenFile('', never), model.whole]);
    spoil(web);
    web.letGo();
    const outcomes = await waiting;
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(model.failure?.message).toMatch(reason);
    expect([isSticky(model.root), place.streams.running]).toEqual([true, []]);
    await expect(model.whenFile('', never)).rejects.toThrow(reason);
  },
);

it('that failed is tried again when it is asked for anew', async () => {
  const web = await slowServer();
  const place = streamingPlace();
  const { listing } = await place.pin(`${web.url}${PATH}`);
  web.trouble = refuse;
  const model = await coming(place.streams, listing);
  await expect(model.whole).rejects.toThrow('403');
  web.trouble = () => false;
  expect((await (await coming(place.streams, listing)).whole).hash).toBe(sha(content));
});

it('is fetched once, also where an apply wants it whole meanwhile', async () => {
  const web = await slowServer();
  const place = streamingPlace();
  const uri = `${web.url}${PATH}`;
  const { listing } = await place.pin(uri);
  await coming(place.streams, listing);
  const whole = place.obtain(uri);
  web.letGo();
  expect((await whole).pin.sha256).toBe(sha(content));
  expect(web.asked()).toHaveLength(3);
});

it('that only comes as a whole is fetched at once, and the reason said', async () => {
  const web = await startWebServer();
  web.trouble = (_request, response) => {
    response.writeHead(200, { etag: '"1"', 'content-length': 5 }).end('whole');
    return true;
  };
  const { pin } = streamingPlace();
  expect((await pin(`${web.url}${PATH}`)).sha256).toBe(sha(Buffer.from('whole')));
});

it('is fetched for as long as something that is assigned here needs it', async () => {
  const web = await slowServer();
  const place = streamingPlace();
  const { listing = '' } = await place.pin(`${web.url}${PATH}`);
  place.streams.want(new Map([[listing, null]]));
  const total = () => place.streams.find(listing)?.progress.totalBytes;
  await expect.poll(total, { timeout: 20_000 }).toBe(content.length);
  web.letGo();
  const known = async () => (await place.streams.known(listing))?.hash;
  await expect.poll(known, { timeout: 20_000 }).toBe(sha(content));
});

it('is not fetched any more once nothing here needs it: no request is left, and what has come stays', async () => {
  const web = await slowServer();
  const { streams, pin, root } = streamingPlace(tempDir(), { idleMs: 300 });
  const { listing = '' } = await pin(`${web.url}${PATH}`);
  let open = 0;
  web.trouble = (request, response) => {
    if (request.headers.range?.startsWith('bytes=0-') === true) return false;
    open += 1;
    response.once('close', () => {
      open -= 1;
    });
    return true;
  };
  streams.want(new Map([[listing, null]]));
  const model = await coming(streams, listing);
  await model.whenRange('', { offset: 0, length: 8 * MIB }, never);
  await expect.poll(() => open, { timeout: 20_000 }).toBeGreaterThan(0);
  streams.want(new Map()); // drained, or rolled back
  await expect(model.whole).rejects.toMatchObject({ code: 'STREAM_STOPPED' });
  await expect.poll(() => [open, streams.running], { timeout: 20_000 }).toEqual([0, []]);
  expect(isSticky(model.root)).toBe(true);
  expect(readdirSync(join(root, 'partial'))).toEqual([listing]);
});

it.skipIf(!canMount('a disk that fills up while a model is streamed'))(
  'that fills the disk half-way fails with the reason, and is no file with holes',
  async () => {
    const web = await slowServer();
    const disk = smallDisk(48);
    const { streams, pin } = streamingPlace(disk);
    const { listing } = await pin(`${web.url}${PATH}`);
    const model = await coming(streams, listing);
    const { bavail, bsize } = statfsSync(disk);
    writeFileSync(join(disk, 'ballast'), Buffer.alloc(bavail * bsize - 9 * MIB));
    const waiting = model.whenFile('', never);
    web.letGo();
    await expect(waiting).rejects.toMatchObject({
      code: 'STREAM_NO_ROOM',
      message: expect.stringMatching(/m\.bin: the disk of the state directory is full; make room there/),
    });
    expect(isSticky(model.root)).toBe(true);
  },
);

function refuse(...[request, response]: Parameters<WebServer['trouble']>): boolean {
  if (request.headers.range === 'bytes=0-0') return false;
  response.writeHead(403).end('no');
  return true;
}
