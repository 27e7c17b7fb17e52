import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContentStore } from '../../src/lib/content/content-store.ts';
import { silentLog } from '../../src/lib/log.ts';
import { RemoteModels } from '../../src/models/remote-models.ts';
import { installS3Server, S3Server } from './support/s3-server.ts';
import { hasSquid, SquidServer } from './support/squid-server.ts';
import { until } from './support/until.ts';

const secondNow = (): number => Math.floor(Date.now() / 1000);
/** The bytes were the proxy's own, whether or not it asked if they still hold. */
const IS_KEPT = /HIT|REFRESH_UNMODIFIED/;
const WHAT = 'models by Dragonfly';
const KEY = { AWS_ACCESS_KEY_ID: 'S3RVER', AWS_SECRET_ACCESS_KEY: 'S3RVER', AWS_REGION: 'us-east-1' };
const installed = hasSquid(WHAT) ? installS3Server(WHAT) : null;

describe.skipIf(installed === null)(
  'models by the proxy of Dragonfly, from a store that checks signatures',
  () => {
    const weights = randomBytes(9 * 1024 ** 2);
    const folder = mkdtempSync(join(tmpdir(), 'modelserve-dragonfly-'));
    const config = join(folder, 'dragonfly.json');
    let store: S3Server;
    let squid: SquidServer;

    beforeAll(async () => {
      store = await S3Server.start(installed ?? '', 'models');
      await store.put('models/bert/weights.bin', weights);
      await store.put('models/bert/a b+c.json', Buffer.from('{}'));
      squid = await SquidServer.start();
    });

    afterAll(async () => {
      await squid?.stop();
      await store?.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    /** As a node that has nothing yet. */
    async function obtain(uri: string, variables: Record<string, string>, node: string) {
      const dir = join(folder, node);
      const contents = new ContentStore({ recordsDir: join(dir, 'contents'), filesDir: join(dir, 'models') });
      const models = new RemoteModels(
        {
          variables: { HOME: folder, TRITON_DRAGONFLY_CONFIG_PATH: config, ...variables },
          ...{ partialDir: join(dir, 'partial'), digestsDir: join(dir, 'digests') },
          exchange: { attempts: 2, backoffMs: 10, silenceMs: 20_000 },
        },
        { store: contents, log: silentLog },
      );
      try {
        const signal = AbortSignal.timeout(60_000);
        const { content } = await models.obtain(uri, { isDryRun: false, signal });
        const file = content.files.find(({ sizeBytes }) => sizeBytes === weights.length);
        const bytes = readFileSync(join(content.root, file?.path ?? ''));
        expect(createHash('sha256').update(bytes).digest('hex')).toBe(
          createHash('sha256').update(weights).digest('hex'),
        );
      } finally {
        await models.stop();
      }
    }

    it.each([
      ['the address', (url: string) => ({ proxy: url })],
      [
        'the address in an object, headers and a filter',
        (url: string) => ({
          proxy: { addr: url },
          header: { Accept: '*' },
          filter: ['X-Amz-Credential&X-Amz-Date', 'X-Amz-Signature'],
        }),
      ],
    ])('come from the store once, and from the proxy for whoever signs anew (%s)', async (name, layout) => {
      writeFileSync(config, JSON.stringify(layout(squid.url)));
      const uri = `s3://${store.url}/models/bert/`;
      const before = squid.answers.length;
      await obtain(uri, KEY, `first ${name}`);
      const first = squid.answers.slice(before).filter((line) => line.includes('weights.bin'));
      expect(first.length).toBeGreaterThan(0);
      expect(first.every((line) => line.includes('X-Amz-Signature='))).toBe(true);
      const signedIn = secondNow();
      await until('another second, and so another signature', () => secondNow() > signedIn);
      const between = squid.answers.length;
      await obtain(uri, KEY, `second ${name}`);
      await until('the second fetch in the log', () => squid.answers.length > between);
      const second = squid.answers.slice(between).filter((line) => line.includes('weights.bin'));
      expect(second.length).toBeGreaterThan(0);
      expect(second.filter((line) => !IS_KEPT.test(line))).toEqual([]);
      expect(
        new Set([...first, ...second].map((line) => /X-Amz-Date=([^&]+)/.exec(line)?.[1])).size,
      ).toBeGreaterThan(1);
    });

    it('say whose key was refused', async () => {
      writeFileSync(config, JSON.stringify({ proxy: squid.url }));
      const other = { ...KEY, AWS_SECRET_ACCESS_KEY: 'another' };
      await expect(obtain(`s3://${store.url}/models/bert/`, other, 'refused')).rejects.toThrow(
        /403 SignatureDoesNotMatch/,
      );
    });

    it('say that the proxy is away, by whose configuration', async () => {
      await squid.process.kill();
      await expect(obtain(`s3://${store.url}/models/bert/`, KEY, 'away')).rejects.toThrow(
        new RegExp(
          `s3://.*/models/bert/.*: .*ECONNREFUSED.* \\(by the proxy ${squid.url} that TRITON_DRAGONFLY_CONFIG_PATH names\\)`,
        ),
      );
      await squid.process.start();
      await obtain(`s3://${store.url}/models/bert/`, KEY, 'away');
    });
  },
);
