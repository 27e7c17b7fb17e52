import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ModelDirectory } from '../../../src/models/preload/model-directory.ts';
import { tempDir } from '../../support/temp-dir.ts';

const SOURCE = 'oss://bucket/model/';

describe('a model folder', () => {
  it('is held, and not foreign, for who looks at any moment of its beginning', async () => {
    for (let round = 0; round < 20; round += 1) {
      const directory = await ModelDirectory.take(join(tempDir(), 'model'), SOURCE);
      const remote = { key: 'w.bin', sizeBytes: 10, version: '"1"', hasRanges: true };
      const begun = directory.place([{ remote, path: join(directory.path, 'w.bin') }], '/nowhere/socket');
      const looks: Promise<unknown>[] = [];
      while (looks.length < 20) {
        looks.push(ModelDirectory.take(directory.path, SOURCE).catch((error: unknown) => error));
        await new Promise(setImmediate);
      }
      for (const found of await Promise.all(looks)) expect(found).toMatchObject({ code: 'LOCK_HELD' });
      await begun;
      await directory.leave();
    }
  });

  it('is foreign with files that no loader has put there', async () => {
    const folder = tempDir();
    writeFileSync(join(folder, 'mine.txt'), '');
    await expect(ModelDirectory.take(folder, SOURCE)).rejects.toMatchObject({ code: 'MODEL_DIR_FOREIGN' });
  });
});
