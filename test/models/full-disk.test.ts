import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ContentStore } from '../../src/lib/content/content-store.ts';
import { diskRoom } from '../../src/lib/content/room.ts';
import { silentLog } from '../../src/lib/log.ts';
import { RemoteModels } from '../../src/models/remote-models.ts';
import { canMount, smallDisk } from '../support/small-disk.ts';
import { etagOf, startWebServer } from './web-server.ts';

const MIB = 1024 ** 2;
const waiting = { isDryRun: false, signal: new AbortController().signal };

test.skipIf(!canMount('a disk that fills up while a model is fetched'))(
  'a disk that fills up half-way is said, keeps what has come, and the next apply goes on from there',
  async () => {
    const disk = smallDisk(40);
    const web = await startWebServer();
    const content = randomBytes(24 * MIB);
    web.files.set('/m.bin', content);
    const store = new ContentStore({ recordsDir: join(disk, 'contents'), filesDir: join(disk, 'models') });
    const places = { partialDir: join(disk, 'partial'), digestsDir: join(disk, 'digests') };
    const models = new RemoteModels(
      { variables: {}, ...places, exchange: { attempts: 2, backoffMs: 5, silenceMs: 20_000 } },
      { store, room: diskRoom(MIB), log: silentLog },
    );
    const ballast = join(disk, 'ballast');
    // The second part comes when the first is there and somebody else has taken the rest of the disk.
    web.trouble = (request, response) => {
      const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? [];
      if (Number(from) === 0 || existsSync(ballast)) return false;
      const looking = setInterval(() => {
        if ((models.running[0]?.fetchedBytes ?? 0) < 8 * MIB) return;
        clearInterval(looking);
        const { bavail, bsize } = statfsSync(disk);
        if (!existsSync(ballast)) writeFileSync(ballast, Buffer.alloc(bavail * bsize));
        const part = content.subarray(Number(from), Number(to) + 1);
        response.writeHead(206, {
          etag: etagOf(content),
          'content-length': part.length,
          'content-range': `bytes ${from}-${to}/${content.length}`,
        });
        response.end(part);
      }, 5);
      return true;
    };
    await expect(models.obtain(`${web.url}/m.bin`, waiting)).rejects.toMatchObject({
      code: 'MODEL_NO_ROOM',
      message: expect.stringMatching(
        /m\.bin: the disk of the state directory is too full for it \(1[67](\.\d+)? MiB are needed, 0 bytes are free\); make room, and apply again/,
      ),
    });
    expect(existsSync(join(disk, 'models'))).toBe(false);
    rmSync(ballast);
    web.trouble = () => false;
    web.sentBytes = 0;
    const { pin, content: stored } = await models.obtain(`${web.url}/m.bin`, waiting);
    expect(createHash('sha256').update(readFileSync(stored.root)).digest('hex')).toBe(pin.sha256);
    expect(web.sentBytes).toBeLessThanOrEqual(16 * MIB + 1);
    await models.stop();
  },
);
