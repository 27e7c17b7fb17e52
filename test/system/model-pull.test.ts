import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { statePaths } from '../../src/config/paths.ts';
import { PieceSet } from '../../src/lib/content/pieces.ts';
import { sha256 } from '../../src/lib/hash.ts';
import { packageRoot } from '../../src/lib/package-root.ts';
import { startWebServer } from '../models/web-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from './support/until.ts';

const PART_BYTES = 8 * 1024 ** 2;
const PARTS = 12;

function pull(
  uri: string,
  stateDir: string,
): { readonly child: ChildProcess; readonly ended: Promise<number | null> } {
  const main = join(packageRoot(), 'dist', 'cli', 'main.js');
  const child = spawn(process.execPath, [main, 'model', 'pull', uri, '--state-dir', stateDir], {
    stdio: 'ignore',
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return { child, ended };
}

test('a fetch that is killed goes on from what had come', async () => {
  const web = await startWebServer();
  const content = randomBytes(PARTS * PART_BYTES);
  web.files.set('/m.bin', content);
  const [uri, stateDir] = [`${web.url}/m.bin`, tempDir()];
  const paths = statePaths(stateDir);
  // The last three parts do not come the first time.
  web.trouble = ({ headers }) =>
    Number(/bytes=(\d+)/.exec(headers.range ?? '')?.[1]) >= (PARTS - 3) * PART_BYTES;
  const first = pull(uri, stateDir);
  const noted = (): number => {
    try {
      const { held } = JSON.parse(
        readFileSync(join(paths.partial, sha256(uri), 'progress.json'), 'utf8'),
      ) as {
        held: string;
      };
      return PieceSet.decode(held, PARTS).count;
    } catch {
      return 0;
    }
  };
  await until('eight parts are noted', async () => noted() >= 8, 60_000);
  first.child.kill('SIGKILL');
  await first.ended;
  web.trouble = () => false;
  web.sentBytes = 0;
  expect(await pull(uri, stateDir).ended).toBe(0);
  expect(web.sentBytes).toBeLessThanOrEqual(4 * PART_BYTES + 2);
  const hash = createHash('sha256').update(content).digest('hex');
  expect(sha256(readFileSync(join(paths.models, hash)))).toBe(hash);
});
