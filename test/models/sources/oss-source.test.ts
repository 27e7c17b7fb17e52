import { execFileSync } from 'node:child_process';
import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { presignOss } from '../../../src/models/sources/presign.ts';
import { signOss } from '../../../src/models/sources/sign-oss.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { expected, obtain, startStore } from './fake-store.ts';

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

// Has it sign an address.
const PRESIGN = `
import json, sys
import oss2
from oss2.credentials import StaticCredentialsProvider
bucket, key, region, token = json.loads(sys.argv[1])
provider = StaticCredentialsProvider('an-id', 'a-secret', token)
auth = oss2.ProviderAuthV4(provider) if region else oss2.ProviderAuth(provider)
handle = oss2.Bucket(auth, 'http://oss.example.com', bucket, region=region)
print(handle.sign_url('GET', key, 3600, slash_safe=True))
`;

/** The SDK's parameters, and ours for the moment that they were made in. */
function presigned(
  theirs: URL,
  { key, region, token }: { key: string; region: string | null; token: string | null },
) {
  const date = theirs.searchParams.get('x-oss-date') ?? '';
  const iso = date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z');
  const nowMs = date === '' ? 1000 * (Number(theirs.searchParams.get('Expires')) - 3600) : Date.parse(iso);
  const { query } = presignOss(
    { origin: theirs.origin, path: theirs.pathname, query: [], headers: {} },
    { key: { ...KEY, sessionToken: token }, region, resource: `/bkt/${key}`, nowMs },
  );
  return Object.fromEntries(query);
}

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
      if (key === '') continue;
      const wish = JSON.stringify(['bkt', key, region, token]);
      const url = new URL(execFileSync('python3', ['-c', PRESIGN, wish], { env, encoding: 'utf8' }).trim());
      expect(presigned(url, { key, region, token }), wish).toEqual(Object.fromEntries(url.searchParams));
    }
  });
});

describe('a folder in OSS', () => {
  /** Only for who signs as `region` has it. */
  const signed = (region: string | null) => (request: IncomingMessage, key: string) => {
    const url = new URL(request.url ?? '', 'http://x');
    const stamp = String(request.headers['x-oss-date'] ?? '');
    const iso = stamp.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z');
    const nowMs = Date.parse(iso || (request.headers.date ?? ''));
    const plain = { origin: 'http://x', path: '/', query: [...url.searchParams], headers: {} };
    const headers = signOss(plain, { key: KEY, region, resource: `/bkt/${key}`, nowMs });
    return request.headers.authorization === headers['authorization'];
  };

  it.each([null, 'cn-beijing'])('comes page by page, signed for region %s', async (region) => {
    const variables = {
      OSS_ENDPOINT: await startStore({ isAllowed: signed(region), next: 'marker' }),
      ...{ OSS_ACCESS_KEY_ID: 'an-id', OSS_ACCESS_KEY_SECRET: 'a-secret' },
      ...(region === null ? {} : { OSS_REGION: region }),
    };
    expect(await obtain('oss://bkt/dir', variables)).toEqual(expected);
    await expect(obtain('oss://bkt/dir/', { ...variables, OSS_ACCESS_KEY_SECRET: 'other' })).rejects.toThrow(
      /^oss:\/\/bkt\/dir\/: the server answers 403 SignatureDoesNotMatch: no; asked with OSS_ACCESS_KEY_ID/,
    );
  });

  it.each([
    [{}, /OSS_ENDPOINT in the environment: .* found none/],
    [{ OSS_ENDPOINT: 'oss.example.com', OSS_ACCESS_KEY_ID: 'x' }, /give both or none/],
  ])('says what is missing in %j', async (variables, message) => {
    await expect(obtain('oss://bkt/dir/', variables)).rejects.toThrow(message);
  });
});
