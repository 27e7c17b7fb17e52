import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { ContentStore } from '../../src/lib/content/content-store.ts';
import { diskRoom } from '../../src/lib/content/room.ts';
import { sha256 } from '../../src/lib/hash.ts';
import { silentLog } from '../../src/lib/log.ts';
import { RemoteModels } from '../../src/models/remote-models.ts';
import { tempDir } from '../support/temp-dir.ts';
import { hasNginx, NginxServer } from './support/nginx-server.ts';
import { hasTinyproxy, TinyproxyServer } from './support/tinyproxy-server.ts';

const WHAT = 'models by a proxy';

describe.skipIf(!hasTinyproxy(WHAT) || !hasNginx(WHAT))('models by a proxy', () => {
  const weights = randomBytes(9 * 1024 ** 2);
  let web: NginxServer;
  let proxy: TinyproxyServer;

  beforeAll(async () => {
    web = await NginxServer.start();
    web.put('m.bin', weights);
    proxy = await TinyproxyServer.start();
  });

  afterAll(async () => {
    await proxy?.stop();
    await web?.stop();
  });

  /** @returns the hash of what came, and what the proxy was asked for */
  async function obtain(uri: string, variables: Record<string, string>) {
    const dir = tempDir();
    const store = new ContentStore({ recordsDir: join(dir, 'contents'), filesDir: join(dir, 'models') });
    const models = new RemoteModels(
      {
        variables,
        ...{ partialDir: join(dir, 'partial'), digestsDir: join(dir, 'digests') },
        exchange: { attempts: 2, backoffMs: 10, silenceMs: 20_000 },
      },
      { store, room: diskRoom(0), log: silentLog },
    );
    onTestFinished(async () => await models.stop());
    const before = proxy.requests.length;
    const { pin } = await models.obtain(uri, { isDryRun: false, signal: AbortSignal.timeout(60_000) });
    return { hash: pin.sha256, requests: [...new Set(proxy.requests.slice(before))] };
  }

  it('are asked for in whole where the server speaks http', async () => {
    expect(await obtain(`${web.url}/m.bin`, { http_proxy: proxy.url })).toEqual({
      ...{ hash: sha256(weights), requests: [`GET ${web.url}/m.bin`] },
    });
  });

  it('come through a tunnel where it speaks https, believed by its own certificate', async () => {
    const variables = { HTTPS_PROXY: proxy.url, SSL_CERT_FILE: web.certificate };
    expect(await obtain(`${web.secureUrl}/m.bin`, variables)).toEqual({
      ...{ hash: sha256(weights), requests: [`CONNECT ${new URL(web.secureUrl).host}`] },
    });
    await expect(obtain(`${web.secureUrl}/m.bin`, { HTTPS_PROXY: proxy.url })).rejects.toThrow(
      /^https:\/\/localhost:\d+\/m\.bin: its certificate is signed by somebody who is not known here/,
    );
  });

  it('go past it where NO_PROXY has the server', async () => {
    const variables = { ALL_PROXY: proxy.url, NO_PROXY: 'localhost, 127.0.0.1' };
    expect((await obtain(`${web.url}/m.bin`, variables)).requests).toEqual([]);
  });

  it('say that the proxy does not know who asks', async () => {
    const https_proxy = proxy.url.replace('let-me-in', 'wrong-word');
    const variables = { http_proxy: proxy.origin, https_proxy, SSL_CERT_FILE: web.certificate };
    for (const [url, name] of [
      [web.url, 'http_proxy'],
      [web.secureUrl, 'https_proxy'],
    ] as const) {
      const failure = await obtain(`${url}/m.bin`, variables).catch((error) => error);
      expect(failure.message).toMatch(
        new RegExp(
          `^${url}/m.bin: the proxy ${proxy.origin} that ${name} names answers 40[17]; .*http://USER:PASSWORD@`,
        ),
      );
      expect(failure.message).not.toContain('wrong-word');
    }
  });

  it('say that it is away', async () => {
    await proxy.process.kill();
    const variables = { http_proxy: proxy.url, https_proxy: proxy.url, SSL_CERT_FILE: web.certificate };
    for (const [url, name] of [
      [web.url, 'http_proxy'],
      [web.secureUrl, 'https_proxy'],
    ] as const) {
      await expect(obtain(`${url}/m.bin`, variables)).rejects.toThrow(
        new RegExp(
          `^${url}/m.bin: .*ECONNREFUSED.* \\(by the proxy ${proxy.origin} that ${name} names\\), 2 times in a row$`,
        ),
      );
    }
    await proxy.process.start();
    expect((await obtain(`${web.url}/m.bin`, variables)).hash).toBe(sha256(weights));
  });
});
