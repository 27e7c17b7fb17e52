import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readModels } from '../../src/models/pins.ts';

let root = '';
const zoo = (...names: readonly string[]): string => join(root, 'Model_ZOO', ...names);
const pin = async (...models: readonly string[]) => {
  const read = await readModels({ modelRoot: zoo(), models, digestsDir: join(root, 'digests') });
  return read.map((model) => model.pin);
};
const sha = (content: string | Uint8Array): string => createHash('sha256').update(content).digest('hex');

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'modelserve-models-'));
  await mkdir(zoo());
  await writeFile(zoo('small.json'), '{}');
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

describe('readModels', () => {
  it('gives name, size and SHA-256, in the order asked for', async () => {
    await writeFile(zoo('other.bin'), 'other');
    expect(await pin('small.json', 'other.bin')).toEqual([
      { name: 'small.json', sizeBytes: 2, sha256: sha('{}') },
      { name: 'other.bin', sizeBytes: 5, sha256: sha('other') },
    ]);
  });

  it('needs no model folder where no model is named', async () => {
    await rm(zoo(), { recursive: true });
    expect(await pin()).toEqual([]);
  });

  it('takes a folder as one model, whose hash changes with names and contents', async () => {
    await mkdir(zoo('bert/deep'), { recursive: true });
    await writeFile(zoo('bert/config.json'), '{}');
    await writeFile(zoo('bert/deep/weights'), 'abc');
    const [before] = await pin('bert');
    expect(before?.sizeBytes).toBe(5);
    expect(await pin('bert')).toEqual([before]);
    await writeFile(zoo('bert/deep/weights'), 'abd');
    const [changed] = await pin('bert');
    expect(changed?.sha256).not.toBe(before?.sha256);
    await symlink('deep/weights', zoo('bert/same'));
    const [linked] = await pin('bert');
    expect(linked?.sizeBytes).toBe(8);
  });

  it('follows a symlink inside the model folder', async () => {
    await symlink('small.json', zoo('latest.json'));
    expect(await pin('latest.json')).toEqual([{ name: 'latest.json', sizeBytes: 2, sha256: sha('{}') }]);
  });

  it.each([
    ['../secret', 'MODEL_OUTSIDE'],
    ['a/../../secret', 'MODEL_OUTSIDE'],
    ['/etc/hostname', 'MODEL_OUTSIDE'],
    ['', 'MODEL_OUTSIDE'],
    ['out', 'MODEL_OUTSIDE'],
    ['folder', 'MODEL_UNUSABLE'],
    ['nothing', 'MODEL_NOT_FOUND'],
    ['small.json/x', 'MODEL_NOT_FOUND'],
    ['broken', 'MODEL_NOT_FOUND'],
  ])('refuses %j with %s', async (model, code) => {
    await writeFile(join(root, 'secret'), 'secret');
    await symlink('../secret', zoo('out'));
    await symlink('nowhere', zoo('broken'));
    await mkdir(zoo('folder'));
    await symlink('../../secret', zoo('folder/link'));
    await expect(pin('small.json', model)).rejects.toMatchObject({ code });
  });
});

describe('remembered digests', () => {
  const content = new Uint8Array(2 * 1024 ** 2).fill(7);
  // Only a file that has rested for two seconds is remembered, and its change time cannot be set back.
  const rested = async (path: string): Promise<void> => {
    await writeFile(path, content);
    const { ctimeMs } = await stat(path);
    await expect.poll(() => Date.now() - ctimeMs, { timeout: 5_000, interval: 100 }).toBeGreaterThan(2_100);
  };

  it('spare an unchanged file, notice every write to it, and do without a damaged entry', async () => {
    await rested(zoo('model.bin'));
    const [first] = await pin('model.bin');
    expect(await readdir(join(root, 'digests'))).toHaveLength(1);
    const entry = join(root, 'digests', String((await readdir(join(root, 'digests')))[0]));
    const remembered = JSON.parse(await readFile(entry, 'utf8')) as Record<string, unknown>;
    await writeFile(entry, JSON.stringify({ ...remembered, sha256: 'from-the-entry' }));
    expect((await pin('model.bin'))[0]?.sha256).toBe('from-the-entry');
    await writeFile(entry, '{"iden');
    expect(await pin('model.bin')).toEqual([first]);
    // Same size, modification time set back: the change time still tells.
    const { atime, mtime } = await stat(zoo('model.bin'));
    await writeFile(zoo('model.bin'), content.fill(8));
    await utimes(zoo('model.bin'), atime, mtime);
    const [second] = await pin('model.bin');
    expect(second?.sha256).toBe(sha(content));
    expect(second?.sha256).not.toBe(first?.sha256);
  });

  it('are not kept of a file written a moment ago', async () => {
    await writeFile(zoo('model.bin'), content);
    await pin('model.bin');
    await expect(readdir(join(root, 'digests'))).rejects.toThrow('ENOENT');
  });
});
