import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { canMount, smallDisk } from '../../support/small-disk.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { startWebServer } from '../web-server.ts';
import { streamingPlace } from './place.ts';

const MIB = 1024 ** 2;
const PATH = '/models/m.bin';
const content = randomBytes(20 * MIB + 17);
const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const never = new AbortController().signal;
const slowly = { timeout: 20_000 };
const isSticky = (path: string): boolean => (statSync(path).mode & 0o1000) !== 0;

/** A model that comes into memory. @param root of an earlier place: after a restart */
async function inMemory(expireMs: number, options: Parameters<typeof streamingPlace>[1] = {}, root?: string) {
  const web = await startWebServer();
  web.files.set(PATH, content);
  const place = streamingPlace(root, options);
  const uri = `${web.url}${PATH}`;
  const { listing = '' } = await place.pin(uri);
  const memory = { expireMs };
  const come = async () => {
    const streamed = await place.streams.join(listing, memory);
    return streamed.kind === 'coming' ? streamed.model : expect.fail(`it is ${streamed.kind}`);
  };
  return { ...place, web, uri, listing, memory, come, folder: join(place.memoryDir, listing) };
}

it('lies in no folder that is not its own, and removes nothing by a link to one', async () => {
  const elsewhere = tempDir();
  writeFileSync(join(elsewhere, 'precious'), 'x');
  const memoryDir = join(tempDir(), 'memory');
  symlinkSync(elsewhere, memoryDir);
  const { come, streams } = await inMemory(60_000, { memoryDir });
  streams.want(new Map());
  await expect(come()).rejects.toMatchObject({ code: 'STREAM_FAILED', message: /is no folder: remove it/ });
  await streams.stop();
  expect(readdirSync(elsewhere)).toEqual(['precious']);
});

it('lies in memory alone, and is pinned by its listing also when it has come', async () => {
  const { web, come, pin, uri, listing, memoryDir, root, streams, store } = await inMemory(60_000);
  const model = await come();
  const { hash, files } = await model.whole;
  expect([hash, files.length]).toEqual([sha(content), 1]);
  expect(model.root.startsWith(`${memoryDir}/${listing}/`)).toBe(true);
  expect(sha(readFileSync(model.root))).toBe(sha(content));
  expect([model.isWhole, streams.running, await store.find(hash)]).toEqual([true, [], null]);
  expect(readdirSync(root).sort()).toEqual(['listings', 'memory']);
  expect(await pin(uri)).toMatchObject({ sha256: null, listing });
  expect(web.sentBytes).toBeGreaterThanOrEqual(content.length);
});

it('gives its memory back after its last use, and comes again when it is opened', async () => {
  const { web, come } = await inMemory(1_000);
  const model = await come();
  await model.whole;
  const path = model.root;
  const { ino } = statSync(path);
  await expect.poll(() => statSync(path).blocks, slowly).toBe(0);
  expect([isSticky(path), statSync(path).size, statSync(path).ino === ino]).toEqual([
    true,
    content.length,
    false,
  ]);
  web.trouble = (_, response) => void response.writeHead(403).end('no') === undefined;
  await expect(model.whenFile('', never)).rejects.toThrow(/answers 403/);
  expect(model.failure).toBeNull(); // of what runs already, one open has failed
  web.trouble = () => false;
  await model.whenRange('', { offset: 3, length: 5 }, never);
  expect(sha(readFileSync(path))).toBe(sha(content));
});

it('stays once somebody reads it who cannot wait', async () => {
  const { come, streams } = await inMemory(1_000);
  const model = await come();
  await model.whole;
  await expect.poll(() => statSync(model.root).blocks, slowly).toBe(0);
  await streams.keep(never);
  expect(isSticky(model.root)).toBe(false);
  expect(sha(readFileSync(model.root))).toBe(sha(content));
});

it('goes on after a restart of the node process with what is there, and never takes a hole for bytes', async () => {
  const before = await inMemory(1_000);
  before.streams.want(new Map([[before.listing, before.memory]]));
  const model = await before.come();
  await model.whole;
  await expect.poll(() => statSync(model.root).blocks, slowly).toBe(0);
  await before.streams.stop();
  before.web.sentBytes = 0;
  const after = streamingPlace(before.root);
  after.streams.want(new Map([[before.listing, { expireMs: 60_000 }]]));
  await expect.poll(() => after.streams.find(before.listing), slowly).not.toBeNull();
  const again = after.streams.find(before.listing) ?? expect.fail('it does not come');
  await again.whole;
  expect([again.root, sha(readFileSync(again.root))]).toEqual([model.root, sha(content)]);
  expect(before.web.sentBytes).toBe(content.length);
  await after.streams.stop();
  const third = streamingPlace(before.root);
  third.streams.want(new Map([[before.listing, { expireMs: 60_000 }]]));
  await expect.poll(() => third.streams.find(before.listing)?.isWhole, slowly).toBe(true);
  expect(before.web.sentBytes).toBe(content.length); // all was there
});

it('goes with what needed it, also where the node process was killed before', async () => {
  const { come, streams, memoryDir, folder, listing, memory } = await inMemory(60_000);
  mkdirSync(join(memoryDir, 'f'.repeat(64)), { recursive: true });
  streams.want(new Map([[listing, memory]]));
  await (await come()).whole;
  await expect.poll(() => readdirSync(memoryDir), slowly).toEqual([listing]);
  streams.want(new Map());
  await streams.stop();
  expect(existsSync(folder)).toBe(false);
});

it.skipIf(!canMount('models that find no room in memory'))('says where memory is too small', async () => {
  const { come, memoryDir } = await inMemory(1_000, { memoryDir: join(smallDisk(4), 'models') });
  await expect(come()).rejects.toMatchObject({
    code: 'STREAM_NO_ROOM',
    message: expect.stringMatching(/m\.bin: too little memory is free for it in .* \(20 MiB are needed, /),
  });
  expect(readdirSync(memoryDir)).toEqual([]);
});
