import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ContentStore } from '../../../src/lib/content/content-store.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { RemoteModels } from '../../../src/models/remote-models.ts';
import { signOss } from '../../../src/models/sources/sign-oss.ts';
import { tempDir } from '../../support/temp-dir.ts';

const KEY = { id: 'an-id', secret: 'a-secret', sessionToken: null };

// Has Alibaba's own SDK sign a GET, and prints the headers it would send.
const SIGN = `
import json, sys
import oss2
from oss2.credentials import StaticCredentialsProvider
from oss2.http import Request
bucket, key, region, token, params = json.loads(sys.argv[1])
provider = StaticCredentialsProvider('an-id', 'a-secret', token)
auth = oss2.ProviderAuthV4(provider) if region else oss2.ProviderAuth(provider)
handle = oss2.Bucket(auth, 'http://oss.example.com', bucket, region=region)
request = Request('GET', 'http://%s.oss.example.com/' % bucket, params=params, headers={}, region=region, product='oss')
handle.auth._sign_request(request, bucket, key)
print(json.dumps({name.lower(): value for name, value in request.headers.items()}))
`;

describe('signOss', () => {
  it('signs as the official SDK for Python does', { timeout: 240_000 }, ({ skip }) => {
    const packages = tempDir();
    try {
      const install = ['-m', 'pip', 'install', '--quiet', '--target', packages, 'oss2'];
      execFileSync('python3', install, { stdio: 'ignore', timeout: 180_000 });
    } catch {
      process.stdout.write('skipped: signatures against oss2: it cannot be installed from a package index\n');
      skip();
    }
    const cases = ['a b+c%20é&=?#~.json', ''].flatMap((key) =>
      [null, 'cn-beijing'].flatMap((region) => [null, 'token'].map((token) => ({ key, region, token }))),
    );
    for (const { key, region, token } of cases) {
      const params =
        key === '' ? { 'encoding-type': 'url', marker: 'x y', 'max-keys': '1000', prefix: 'd/' } : {};
      const input = JSON.stringify(['bkt', key, region, token, params]);
      const env = { ...process.env, PYTHONPATH: packages };
      const theirs = JSON.parse(execFileSync('python3', ['-c', SIGN, input], { env, encoding: 'utf8' }));
      const stamp = String(theirs['x-oss-date'] ?? theirs['date']);
      const iso = stamp.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z');
      const ours = signOss(
        { origin: 'http://bkt.oss.example.com', path: '/', query: Object.entries(params), headers: {} },
        { key: { ...KEY, sessionToken: token }, region, resource: `/bkt/${key}`, nowMs: Date.parse(iso) },
      );
      const signature = (text: string) => text.replace(/, Signature/, ',Signature');
      expect(signature(String(ours['authorization'])), input).toBe(signature(theirs['authorization']));
    }
  });
});

describe('a folder in OSS', () => {
  const objects = new Map([
    ['dir/a b+&é.json', Buffer.from('{}')],
    ['dir/deep/', Buffer.alloc(0)],
    ['dir/deep/w.bin', randomBytes(9 * 1024 ** 2)],
    ['dir-old/w.bin', Buffer.from('old')],
  ]);
  const etag = (content: Buffer) => `"${createHash('md5').update(content).digest('hex').toUpperCase()}"`;

  /** Pages of one object each, and only for who signs as `region` has it. */
  async function startStore(region: string | null): Promise<string> {
    const server = createServer((request, response) => {
      const url = new URL(request.url ?? '', 'http://x');
      const key = decodeURIComponent(url.pathname.slice('/bkt/'.length));
      const { date = '', authorization = '', range = '' } = request.headers;
      const stamp = String(request.headers['x-oss-date'] ?? '');
      const nowMs = Date.parse(
        stamp.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z') || date,
      );
      const plain = { origin: 'http://x', path: '/', query: [...url.searchParams], headers: {} };
      const expected = signOss(plain, { key: KEY, region, resource: `/bkt/${key}`, nowMs });
      if (authorization !== expected['authorization']) {
        response.writeHead(403).end('<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>');
      } else if (key === '') {
        const [prefix = '', marker = ''] = ['prefix', 'marker'].map(
          (name) => url.searchParams.get(name) ?? '',
        );
        const keys = [...objects.keys()].filter((name) => name.startsWith(prefix) && name > marker).sort();
        const page = keys.slice(0, 1).map((name) => {
          const content = objects.get(name) as Buffer;
          return `<Contents><Key>${encodeURIComponent(name)}</Key><ETag>${etag(content)}</ETag><Size>${content.length}</Size></Contents>`;
        });
        const next = keys.length > 1 ? `<NextMarker>${encodeURIComponent(String(keys[0]))}</NextMarker>` : '';
        response.end(
          `<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>${keys.length > 1}</IsTruncated>${next}${page.join('')}</ListBucketResult>`,
        );
      } else {
        const content = objects.get(key);
        if (content === undefined)
          return void response.writeHead(404).end('<Error><Code>NoSuchKey</Code></Error>');
        const [from = 0, to = 0] = range.slice('bytes='.length).split('-').map(Number);
        const part = content.subarray(from, to + 1);
        const end = from + part.length - 1;
        response.writeHead(206, {
          etag: etag(content),
          'content-range': `bytes ${from}-${end}/${content.length}`,
        });
        response.end(part);
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async function obtain(uri: string, variables: Record<string, string>) {
    const dir = tempDir();
    const store = new ContentStore({ recordsDir: join(dir, 'contents'), filesDir: join(dir, 'models') });
    const places = { partialDir: join(dir, 'partial'), digestsDir: join(dir, 'digests') };
    const models = new RemoteModels({ variables, ...places }, { store, log: silentLog });
    onTestFinished(async () => await models.stop());
    return await models.obtain(uri, { isDryRun: false, signal: new AbortController().signal });
  }

  it.each([null, 'cn-beijing'])('comes page by page, signed for region %s', async (region) => {
    const variables = {
      ...{
        OSS_ENDPOINT: await startStore(region),
        OSS_ACCESS_KEY_ID: 'an-id',
        OSS_ACCESS_KEY_SECRET: 'a-secret',
      },
      ...(region === null ? {} : { OSS_REGION: region }),
    };
    const { pin, content } = await obtain('oss://bkt/dir', variables);
    expect(pin.name).toBe('dir');
    expect(content.files.map((file) => [file.path, file.sha256])).toEqual(
      ['a b+&é.json', 'deep/w.bin'].map((path) => [
        path,
        createHash('sha256')
          .update(objects.get(`dir/${path}`) as Buffer)
          .digest('hex'),
      ]),
    );
    await expect(obtain('oss://bkt/dir/', { ...variables, OSS_ACCESS_KEY_SECRET: 'other' })).rejects.toThrow(
      /^oss:\/\/bkt\/dir\/: the server answers 403 SignatureDoesNotMatch: no; asked with OSS_ACCESS_KEY_ID/,
    );
  });

  it.each([
    [{}, /OSS_ENDPOINT in the environment of the head: .* found none/],
    [{ OSS_ENDPOINT: 'oss.example.com', OSS_ACCESS_KEY_ID: 'x' }, /give both or none/],
  ])('says what is missing in %j', async (variables, message) => {
    await expect(obtain('oss://bkt/dir/', variables)).rejects.toThrow(message);
  });
});
