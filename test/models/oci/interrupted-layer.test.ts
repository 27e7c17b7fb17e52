import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContentStore } from '../../../src/lib/content/content-store.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { packageRoot } from '../../../src/lib/package-root.ts';
import { RemoteModels } from '../../../src/models/remote-models.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { hasRegistry, stallingLine, TestRegistry } from '../../system/support/registry.ts';
import { until } from '../../system/support/until.ts';
import { tarOf } from './tar-bytes.ts';

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const HALF = 4_000_000;

describe.skipIf(!hasRegistry)('a layer whose fetch was killed half-way', () => {
  let registry: TestRegistry;
  const weights = randomBytes(2 * HALF);
  const tar = tarOf({ name: 'models/w', content: weights });

  beforeAll(async () => {
    registry = await TestRegistry.start();
    await registry.putImage('plain', '1', [tar]);
    await registry.putImage('gzip', '1', [
      { bytes: gzipSync(tar, { level: 1 }), mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' },
    ]);
  });

  afterAll(async () => {
    await registry?.stop();
  });

  /** Kills `modelserve model pull` once half of the image has come. */
  async function killed(name: string) {
    const dir = tempDir();
    const line = await stallingLine(registry.host, HALF);
    const uri = `oci://${line.host}/${name}:1`;
    const words = [join(packageRoot(), 'dist/cli/main.js'), 'model', 'pull', uri, '--state-dir', dir];
    const pull = spawn(process.execPath, words, { stdio: 'ignore' });
    const folder = (): string => join(dir, 'partial', readdirSync(join(dir, 'partial'))[0] ?? '');
    const packed = (): string => {
      const file = readdirSync(folder()).find((one) => one.endsWith('.packed')) ?? 'none';
      return join(folder(), file);
    };
    await until(
      'half of the layer',
      async () => statSync(packed()).size > HALF / 2 && line.downBytes >= HALF,
    );
    const ended = once(pull, 'exit');
    pull.kill('SIGKILL');
    await ended;
    line.isStalling = false;
    line.downBytes = 0;
    const store = new ContentStore({ recordsDir: join(dir, 'contents'), filesDir: join(dir, 'models') });
    const models = new RemoteModels(
      { variables: { HOME: dir }, partialDir: join(dir, 'partial'), digestsDir: join(dir, 'digests') },
      { store, log: silentLog },
    );
    const get = async () => {
      const model = await models.obtain(uri, { isDryRun: false, signal: new AbortController().signal });
      await models.stop(); // its connections rest on the line
      await line.close();
      return model;
    };
    return { dir, line, get, packed: packed() };
  }

  it.each(['plain', 'gzip'])(
    'goes on where it was, and is unpacked and checked as a whole (%s)',
    async (name) => {
      const { dir, line, get, packed } = await killed(name);
      const heldBytes = statSync(packed).size;
      const { content } = await get();
      await line.close();
      expect(sha(readFileSync(join(content.root, 'w')))).toBe(sha(weights));
      expect(line.downBytes).toBeLessThan(tar.length - heldBytes + 100_000);
      expect(readdirSync(join(dir, 'partial'))).toEqual([]);
    },
  );

  it.each<[string, (packed: string) => void]>([
    ['is not what it was', (packed) => writeFileSync(packed, randomBytes(HALF))],
    ['has other bytes in its middle', (packed) => spoilMiddle(packed)],
    ['is longer than all', (packed) => appendFileSync(packed, randomBytes(2 * HALF))],
  ])('is right where what was left %s', async (_name, spoil) => {
    const { get, packed } = await killed('plain');
    spoil(packed);
    const { content } = await get();
    expect(sha(readFileSync(join(content.root, 'w')))).toBe(sha(weights));
  });
});

function spoilMiddle(path: string): void {
  const bytes = readFileSync(path);
  bytes.fill(0, bytes.length / 2, bytes.length / 2 + 4096);
  writeFileSync(path, bytes);
}
