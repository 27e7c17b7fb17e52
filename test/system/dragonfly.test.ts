import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { ContentStore } from '../../src/lib/content/content-store.ts';
import { diskRoom } from '../../src/lib/content/room.ts';
import { sha256 } from '../../src/lib/hash.ts';
import { silentLog } from '../../src/lib/log.ts';
import { RemoteModels } from '../../src/models/remote-models.ts';
import { tempDir } from '../support/temp-dir.ts';
import { AzureServer, installAzureServer } from './support/azure-server.ts';
import { FaultFront } from './support/fault-front.ts';
import { hasNginx, NginxServer } from './support/nginx-server.ts';
import { installS3Server, S3Server } from './support/s3-server.ts';
import { hasSquid, SquidServer } from './support/squid-server.ts';
import { until } from './support/until.ts';

const secondNow = (): number => Math.floor(Date.now() / 1000);
/** The bytes were the proxy's own, whether or not it asked if they still hold. */
const IS_KEPT = /HIT|REFRESH_UNMODIFIED/;
const WHAT = 'models by Dragonfly';
const KEY = { AWS_ACCESS_KEY_ID: 'S3RVER', AWS_SECRET_ACCESS_KEY: 'S3RVER', AWS_REGION: 'us-east-1' };
const hasProxy = hasSquid(WHAT);
const installed = hasProxy ? installS3Server(WHAT) : null;
const azure = hasProxy ? installAzureServer(WHAT) : null;
const weights = randomBytes(9 * 1024 ** 2);

/** As a node that has nothing yet. */
async function obtain(uri: string, variables: Record<string, string>, config: object) {
  const dir = tempDir();
  const configPath = join(dir, 'dragonfly.json');
  writeFileSync(configPath, JSON.stringify(config));
  const contents = new ContentStore({ recordsDir: join(dir, 'contents'), filesDir: join(dir, 'models') });
  const models = new RemoteModels(
    {
      variables: { HOME: dir, TRITON_DRAGONFLY_CONFIG_PATH: configPath, ...variables },
      ...{ partialDir: join(dir, 'partial'), digestsDir: join(dir, 'digests') },
      exchange: { attempts: 2, backoffMs: 10, silenceMs: 20_000 },
    },
    { store: contents, room: diskRoom(0), log: silentLog },
  );
  try {
    const { content } = await models.obtain(uri, { isDryRun: false, signal: AbortSignal.timeout(60_000) });
    const file = content.files.find(({ sizeBytes }) => sizeBytes === weights.length);
    expect(sha256(readFileSync(join(content.root, file?.path ?? '')))).toBe(sha256(weights));
  } finally {
    await models.stop();
  }
}

describe.skipIf(installed === null)(
  'models by the proxy of Dragonfly, from a store that checks signatures',
  () => {
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
    });

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
    ])('come from the store once, and from the proxy for whoever signs anew (%s)', async (_, layout) => {
      const config = layout(squid.url);
      const uri = `s3://${store.url}/models/bert/`;
      const before = squid.answers.length;
      await obtain(uri, KEY, config);
      const first = squid.answers.slice(before).filter((line) => line.includes('weights.bin'));
      expect(first.length).toBeGreaterThan(0);
      expect(first.every((line) => line.includes('X-Amz-Signature='))).toBe(true);
      const signedIn = secondNow();
      await until('another second, and so another signature', () => secondNow() > signedIn);
      const between = squid.answers.length;
      await obtain(uri, KEY, config);
      await until('the second fetch in the log', () => squid.answers.length > between);
      const second = squid.answers.slice(between).filter((line) => line.includes('weights.bin'));
      expect(second.length).toBeGreaterThan(0);
      expect(second.filter((line) => !IS_KEPT.test(line))).toEqual([]);
      expect(
        new Set([...first, ...second].map((line) => /X-Amz-Date=([^&]+)/.exec(line)?.[1])).size,
      ).toBeGreaterThan(1);
    });

    it('say whose key was refused', async () => {
      const config = { proxy: squid.url };
      const other = { ...KEY, AWS_SECRET_ACCESS_KEY: 'another' };
      await expect(obtain(`s3://${store.url}/models/bert/`, other, config)).rejects.toThrow(
        /403 SignatureDoesNotMatch/,
      );
    });

    it('say that the proxy is away, by whose configuration', async () => {
      await squid.process.kill();
      const config = { proxy: squid.url };
      await expect(obtain(`s3://${store.url}/models/bert/`, KEY, config)).rejects.toThrow(
        new RegExp(
          `s3://.*/models/bert/.*: .*ECONNREFUSED.* \\(by the proxy ${squid.url} that TRITON_DRAGONFLY_CONFIG_PATH names\\)`,
        ),
      );
      await squid.process.start();
      await obtain(`s3://${store.url}/models/bert/`, KEY, config);
    });
  },
);

describe.skipIf(azure === null)('models of Azure by the proxy of Dragonfly', () => {
  it('come by the account’s key, signed for each blob, and once from the store', async () => {
    const store = await AzureServer.start(azure ?? '', 'models');
    onTestFinished(async () => await store.stop());
    const squid = await SquidServer.start();
    onTestFinished(async () => await squid.stop());
    await store.put('models/bert/a b+c.json', Buffer.from('{}'));
    await store.put('models/bert/weights.bin', weights);
    const uri = `as://${store.url}/${store.account}/models/bert/`;
    const config = { proxy: squid.url };
    await obtain(uri, { AZURE_STORAGE_KEY: store.key }, config);
    const signedIn = secondNow();
    await until('another second, and so another signature', () => secondNow() > signedIn);
    const isLogged = (name: string) => squid.answers.some((line) => line.includes(name));
    await until('the first fetch in the log', () => isLogged('weights.bin') && isLogged('.json'));
    const between = squid.answers.length;
    await obtain(uri, { AZURE_STORAGE_KEY: store.key }, config);
    await until('the second fetch in the log', () => squid.answers.length > between);
    const second = squid.answers.slice(between);
    expect(second.every((line) => /[?&]sig=/.test(line) && /[?&]sr=b/.test(line))).toBe(true);
    expect(second.filter((line) => !IS_KEPT.test(line))).toEqual([]);
    const other = randomBytes(64).toString('base64');
    await expect(obtain(uri, { AZURE_STORAGE_KEY: other }, config)).rejects.toThrow(
      /403 AuthorizationFailure: .*; asked with AZURE_STORAGE_KEY of the environment/,
    );
  });
});

describe.skipIf(!hasNginx(WHAT))(
  'models of an https server by a daemon that opens what it is to keep',
  () => {
    it('are believed by the certificate that proxy_ca names, and by no other', async () => {
      const [web, other] = [await NginxServer.start(), await NginxServer.start()];
      onTestFinished(async () => {
        await web.stop();
        await other.stop();
      });
      web.put('m.bin', weights);
      // What the daemon says to its clients is signed by itself.
      const opened = await FaultFront.start(web.url, {
        key: readFileSync(other.key, 'utf8'),
        cert: readFileSync(other.certificate, 'utf8'),
      });
      onTestFinished(async () => await opened.close());
      const tunnels: string[] = [];
      const daemon = createServer().on('connect', (request, socket) => {
        tunnels.push(request.url ?? '');
        const onward = connect(Number(new URL(opened.url).port), '127.0.0.1');
        for (const end of [socket, onward]) end.on('error', () => end.destroy());
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        onward.pipe(socket).pipe(onward);
      });
      await new Promise<void>((resolve) => daemon.listen(0, '127.0.0.1', resolve));
      onTestFinished(() => void daemon.close());
      const proxy = `http://127.0.0.1:${(daemon.address() as AddressInfo).port}`;
      const uri = `${web.secureUrl}/m.bin`;
      const variables = { SSL_CERT_FILE: web.certificate };
      await obtain(uri, variables, { proxy, proxy_ca: other.certificate });
      expect(new Set(tunnels)).toEqual(new Set([new URL(uri).host]));
      expect(opened.requests).toEqual(expect.arrayContaining([expect.stringMatching(/^\/m\.bin bytes=0-/)]));
      await expect(obtain(uri, variables, { proxy })).rejects.toThrow(
        /m\.bin: its certificate is signed by somebody who is not known here .* as proxy_ca in the file that TRITON_DRAGONFLY_CONFIG_PATH names$/,
      );
    });
  },
);
