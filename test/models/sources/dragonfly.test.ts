import { createPublicKey, createVerify, generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { sha256 } from '../../../src/lib/hash.ts';
import { readDragonflyConfig } from '../../../src/models/sources/dragonfly/dragonfly-config.ts';
import { presignGoogle } from '../../../src/models/sources/presign.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { startWebServer } from '../web-server.ts';
import { startTokenServer } from './credentials/token-server.ts';
import { obtain } from './fake-store.ts';

function configFile(text: string): string {
  const path = join(tempDir(), 'dragonfly.json');
  writeFileSync(path, text);
  return path;
}

const read = async (text: string) =>
  await readDragonflyConfig({ TRITON_DRAGONFLY_CONFIG_PATH: configFile(text) });

describe('the configuration of Dragonfly', () => {
  it('is none where the variable is not set', async () => {
    expect(await readDragonflyConfig({})).toBeNull();
  });

  it('has the proxy in either layout, headers, and names one by one', async () => {
    const text =
      '{"proxy": {"addr": "http://127.0.0.1:65001"}, "header": {"Accept": "*", "Host": "abc"}, "filter": ["key", "X-Amz-Credential&X-Amz-Date"]}';
    expect(await read(text)).toEqual({
      proxy: 'http://127.0.0.1:65001',
      headers: { accept: '*', host: 'abc' },
      filter: ['key', 'X-Amz-Credential', 'X-Amz-Date'],
      proxyCa: '',
    });
    const plain = await read('{"proxy": "http://127.0.0.1:4001", "filter": []}');
    expect(plain?.filter).toEqual(
      expect.arrayContaining(['X-Amz-Signature', 'X-Goog-Signature', 'OSSAccessKeyId', 'sig']),
    );
  });

  it.each([
    [
      '{\n  "proxy": "http://x"\n  "filter": []\n}',
      /TRITON_DRAGONFLY_CONFIG_PATH \(.*dragonfly\.json\):3:3: expected "," or "}", found "/,
    ],
    ['{"proxy": 1}', /expected proxy: the address of a Dragonfly daemon.* found 1$/],
    ['{}', /expected proxy: .* found none$/],
    ['[]', /expected an object, found \[\]$/],
    ['{"proxy": "http://x", "header": {"A": 1}}', /expected header: an object of texts, found \{"A":1\}$/],
    ['{"proxy": "http://x", "filter": "a"}', /expected filter: a list of names, found "a"$/],
    [
      '{"proxy": "http://x", "proxy_ca": "/none.pem"}',
      /proxy_ca \(\/none\.pem\): expected a file that can be read, found ENOENT/,
    ],
    [
      '{"proxy": "http://x", "filters": []}',
      /expected the keys proxy, header, filter and proxy_ca, found "filters"$/,
    ],
  ])('says what is wrong with %s', async (text, message) => {
    await expect(read(text)).rejects.toThrow(message);
  });

  it('says that its file is not there', async () => {
    await expect(readDragonflyConfig({ TRITON_DRAGONFLY_CONFIG_PATH: '/none.json' })).rejects.toThrow(
      /TRITON_DRAGONFLY_CONFIG_PATH \(\/none\.json\): expected a file that can be read, found ENOENT/,
    );
  });
});

describe('a part asked of Dragonfly', () => {
  it('carries the address in whole, both filters and the headers; what the daemon says of a failure is told', async () => {
    const seen: { url: string; headers: Record<string, unknown> }[] = [];
    const daemon = createServer((request, response) => {
      seen.push({ url: request.url ?? '', headers: request.headers });
      response
        .writeHead(404 - 1, { 'x-dragonfly-error-type': 'backend' })
        .end('<Error><Code>AccessDenied</Code><Message>no</Message></Error>');
    });
    const origin = createServer((_request, response) => {
      response.writeHead(206, { etag: '"a"', 'content-range': 'bytes 0-0/5', 'content-length': 1 }).end('x');
    });
    for (const server of [daemon, origin]) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      onTestFinished(() => void server.close());
    }
    const [proxyPort, port] = [daemon, origin].map((server) => (server.address() as AddressInfo).port);
    const config = { proxy: `http://127.0.0.1:${proxyPort}`, header: { Host: 'abc' }, filter: ['a', 'b&c'] };
    const variables = { TRITON_DRAGONFLY_CONFIG_PATH: configFile(JSON.stringify(config)) };
    const uri = `http://127.0.0.1:${port}/m.bin?sig=x`;
    await expect(obtain(uri, variables)).rejects.toThrow(
      /m\.bin: the server answers 403 AccessDenied: no; .*asked by Dragonfly, which says that the backend has failed/,
    );
    expect(seen.length).toBe(2); // signed anew once
    expect(seen[0]).toMatchObject({
      url: uri,
      headers: {
        host: 'abc',
        'x-dragonfly-filter': 'a&b&c',
        'x-dragonfly-filtered-query-params': 'a,b,c',
        range: 'bytes=0-4',
      },
    });
  });

  it('is refused for credentials that sign no address', async () => {
    const identity = await startTokenServer(() => ({ access_token: 'granted', expires_in: 3_600 }));
    const origin = await startWebServer();
    origin.files.set('/acct/container/m.bin', Buffer.from('model'));
    const variables = {
      TRITON_DRAGONFLY_CONFIG_PATH: configFile('{"proxy": "http://127.0.0.1:1"}'),
      ...{ AZURE_STORAGE_AUTH_TYPE: 'managed_identity', AZURE_POD_IDENTITY_AUTHORITY_HOST: identity.url },
    };
    const uri = `as://${origin.url}/acct/container/m.bin`;
    await expect(obtain(uri, variables)).rejects.toThrow(
      /^as:\/\/.*\/acct\/container\/: addresses are signed with an account's key, and cannot be with the managed identity: set AZURE_STORAGE_KEY/,
    );
  });
});

describe('an address signed for a service account', () => {
  it('is what Google verifies', () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const { query, ...rest } = presignGoogle(
      {
        origin: 'https://storage.googleapis.com',
        path: '/bkt/a%20b',
        query: [],
        headers: { range: 'bytes=0-1' },
      },
      {
        email: 'me@p.iam',
        privateKey: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
        nowMs: Date.UTC(2026, 0, 2),
      },
    );
    const params = Object.fromEntries(query);
    expect(params).toMatchObject({
      'X-Goog-Algorithm': 'GOOG4-RSA-SHA256',
      'X-Goog-Credential': 'me@p.iam/20260102/auto/storage/goog4_request',
      'X-Goog-SignedHeaders': 'host',
    });
    const canonicalQuery = query
      .filter(([name]) => name !== 'X-Goog-Signature')
      .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
      .sort()
      .join('&');
    const canonical = [
      'GET',
      rest.path,
      canonicalQuery,
      'host:storage.googleapis.com',
      '',
      'host',
      'UNSIGNED-PAYLOAD',
    ];
    const text = [
      'GOOG4-RSA-SHA256',
      '20260102T000000Z',
      '20260102/auto/storage/goog4_request',
      sha256(canonical.join('\n')),
    ];
    const key = createPublicKey(publicKey.export({ type: 'spki', format: 'pem' }));
    expect(
      createVerify('RSA-SHA256')
        .update(text.join('\n'))
        .verify(key, params['X-Goog-Signature'] ?? '', 'hex'),
    ).toBe(true);
  });
});
