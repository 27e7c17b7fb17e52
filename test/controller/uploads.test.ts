import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { Uploads } from '../../src/controller/uploads.ts';
import { ContentStore } from '../../src/lib/content/content-store.ts';
import { identityOf } from '../../src/lib/file-identity.ts';
import { tempDir } from '../support/temp-dir.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const file = (path: string, text: string, executable = false) => ({
  ...{ path, executable, sha256: sha256(text) },
  sizeBytes: Buffer.byteLength(text),
});

function desk() {
  const root = tempDir();
  const store = new ContentStore({ recordsDir: join(root, 'contents'), filesDir: join(root, 'models') });
  const uploads = new Uploads(join(root, 'uploads'), store);
  const send = (upload: string, text: string, bytes = text, offset = 0): Promise<number> =>
    uploads.receive(upload, { sha256: sha256(text), offset }, Readable.from([Buffer.from(bytes)]));
  return { root, uploads, send };
}

const CONF = '[algopkg.Echo]\n';
const PROJECT = [
  file('conf.ini', CONF),
  file('algopkg/Echo/backend.py', 'same'),
  file('algopkg/Echo/run.sh', 'same', true),
];

test('a project is put together from its files, each sent once, with its own permission bits', async () => {
  const { uploads, send } = desk();
  const { upload, missing } = await uploads.offer(PROJECT);
  expect(missing.map((one) => one.sha256).sort()).toEqual([sha256(CONF), sha256('same')].sort());
  await expect(uploads.materialise(upload)).rejects.toMatchObject({ code: 'UPLOAD_INCOMPLETE' });
  await send(upload, CONF);
  await send(upload, 'same');
  const folder = await uploads.materialise(upload);
  expect(readFileSync(join(folder, 'conf.ini'), 'utf8')).toBe(CONF);
  const modes = ['backend.py', 'run.sh'].map(
    (name) => statSync(join(folder, 'algopkg/Echo', name)).mode & 0o777,
  );
  expect(modes).toEqual([0o444, 0o555]);
  expect(await uploads.materialise(upload)).toBe(folder);
  expect((await uploads.offer(PROJECT)).missing).toEqual([]);
});

test('a file that broke off goes on where it was, and nowhere else', async () => {
  const { uploads, send } = desk();
  const { upload } = await uploads.offer([file('conf.ini', 'abcdef')]);
  expect(await send(upload, 'abcdef', 'abc')).toBe(3);
  const { missing } = await uploads.offer([file('conf.ini', 'abcdef')]);
  expect(missing).toEqual([{ sha256: sha256('abcdef'), sizeBytes: 6, heldBytes: 3 }]);
  await expect(send(upload, 'abcdef', 'def', 0)).rejects.toMatchObject({ code: 'UPLOAD_OFFSET' });
  expect(await send(upload, 'abcdef', 'def', 3)).toBe(6);
  expect(readFileSync(join(await uploads.materialise(upload), 'conf.ini'), 'utf8')).toBe('abcdef');
});

test('what is not what its hash says is not kept, nor more than was offered', async () => {
  const { uploads, send } = desk();
  const { upload } = await uploads.offer([file('conf.ini', 'right')]);
  await expect(send(upload, 'right', 'wrong')).rejects.toMatchObject({ code: 'UPLOAD_DAMAGED' });
  await expect(send(upload, 'right', 'right and more')).rejects.toMatchObject({ code: 'UPLOAD_DAMAGED' });
  await expect(send(upload, 'never offered')).rejects.toMatchObject({ code: 'UPLOAD_UNKNOWN' });
  await expect(send('../..', 'right')).rejects.toMatchObject({ code: 'UPLOAD_UNKNOWN' });
});

test.each(['../conf.ini', '/etc/passwd', 'algopkg/../../x'])('a project with %s is refused', async (path) => {
  const { root, uploads } = desk();
  await expect(uploads.offer([...PROJECT, file(path, 'x')])).rejects.toMatchObject({
    code: 'CONTENT_UNSAFE',
  });
  expect(existsSync(join(root, 'uploads'))).toBe(false);
});

test('a file is seen when it is the same one, not when it is a copy', async () => {
  const { uploads } = desk();
  const folder = tempDir();
  const [path, copy] = [join(folder, 'conf.ini'), join(folder, 'copy.ini')];
  for (const one of [path, copy]) writeFileSync(one, CONF);
  const look = (at: string) => ({
    path,
    identity: identityOf(statSync(at, { bigint: true })),
    sha256: sha256(CONF),
  });
  expect(await uploads.sees(look(path))).toBe(true);
  expect(await uploads.sees(look(copy))).toBe(false);
  const before = look(path);
  truncateSync(path, 3);
  expect(await uploads.sees(before)).toBe(false);
  expect(await uploads.sees({ ...before, path: join(folder, 'none') })).toBe(false);
});

test('what nobody has sent or applied for a while is deleted', async () => {
  const { root, uploads, send } = desk();
  const { upload } = await uploads.offer([file('conf.ini', CONF)]);
  await send(upload, CONF);
  const folder = await uploads.materialise(upload);
  await uploads.prune(3_600_000);
  expect(existsSync(folder)).toBe(true);
  await uploads.prune(-60_000);
  expect(existsSync(folder)).toBe(false);
  expect(existsSync(join(root, 'uploads', 'blobs', sha256(CONF)))).toBe(false);
});
