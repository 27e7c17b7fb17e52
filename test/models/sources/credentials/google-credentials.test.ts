import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readModelUri } from '../../../../src/config/model-uri.ts';
import { googleCredentials } from '../../../../src/models/sources/credentials/google-credentials.ts';
import { signS3 } from '../../../../src/models/sources/sign-s3.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { expected, obtain, startStore } from '../fake-store.ts';
import { asking, startTokenServer, type TokenAnswer } from './token-server.ts';

type Variables = Record<string, string>;

const TOKEN_PATH = '/computeMetadata/v1/instance/service-accounts/default/token';
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

function file(content: object | string): string {
  const path = join(tempDir(), 'credentials.json');
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

async function lookUp(variables: Variables, uri = 'gs://models/vision/') {
  const all = { HOME: '/nonexistent', NO_GCE_CHECK: 'true', ...variables };
  const reading = readModelUri(uri);
  return await googleCredentials(reading.ok ? reading.uri : expect.fail(reading.hint), all, asking(all));
}

/** A token server that gives each who asks a token of his name. */
async function tokens() {
  const server = await startTokenServer(({ form }) => {
    const [, claims = ''] = (form.get('assertion') ?? '').split('.');
    const name = form.get('refresh_token') ?? JSON.parse(Buffer.from(claims, 'base64url').toString()).iss;
    return { access_token: `for ${name}`, expires_in: 3_599 };
  });
  const account = (name: string) => ({
    ...{ type: 'service_account', client_email: name, token_uri: `${server.url}/token` },
    private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  });
  const user = (name: string) => ({
    ...{ type: 'authorized_user', client_id: 'c', client_secret: 's', token_uri: `${server.url}/token` },
    refresh_token: name,
  });
  return { server, account, user };
}

describe('who asks Google', () => {
  it('is the named file’s account before a key, that before who has logged in, and else nobody', async () => {
    const { account, user, server } = await tokens();
    const folder = tempDir();
    mkdirSync(join(folder, '.config', 'gcloud'), { recursive: true });
    const own = join(folder, '.config', 'gcloud', 'application_default_credentials.json');
    writeFileSync(own, JSON.stringify(user('me')));
    const variables: Variables = { HOME: folder };
    expect((await lookUp(variables)).value).toEqual({ token: 'for me', key: null, origin: own });
    Object.assign(variables, { GS_ACCESS_KEY_ID: 'GOOG1', GS_SECRET_ACCESS_KEY: 'hs' });
    expect((await lookUp(variables)).value).toEqual({
      ...{ token: null, origin: 'GS_ACCESS_KEY_ID of the environment' },
      key: { id: 'GOOG1', secret: 'hs', sessionToken: null },
    });
    const named = file(account('robot'));
    const lease = await lookUp({ ...variables, GOOGLE_APPLICATION_CREDENTIALS: named });
    expect(lease.value).toMatchObject({
      token: 'for robot',
      origin: `GOOGLE_APPLICATION_CREDENTIALS (${named})`,
    });
    expect(lease.endsAtMs).toBeGreaterThan(Date.now() + 3_500_000);
    expect(lease.endsAtMs).toBeLessThanOrEqual(Date.now() + 3_599_000);
    expect(Object.fromEntries(server.asked[0]?.form ?? [])).toEqual({
      ...{ grant_type: 'refresh_token', client_id: 'c', client_secret: 's', refresh_token: 'me' },
    });
    expect((await lookUp({})).value).toEqual({ token: null, key: null, origin: null });
    await expect(lookUp({ GS_ACCESS_KEY_ID: 'x' })).rejects.toThrow(/one is set and the other is not/);
  });

  it('is whom the cloud credential file has for the longest prefix', async () => {
    const { account } = await tokens();
    const [one, two] = [file(account('one')), file(account('two'))];
    const gs = { '': one, 'gs://models/vision': two, 'gs://models/': '/none.json', 'gs://public': '' };
    const variables = {
      TRITON_CLOUD_CREDENTIAL_PATH: file({ gs }),
      GOOGLE_APPLICATION_CREDENTIALS: file(account('environment')),
    };
    const who = async (uri: string) => (await lookUp(variables, uri)).value;
    expect(await who('gs://models/vision/v1')).toMatchObject({
      token: 'for two',
      origin: expect.stringMatching(
        /^TRITON_CLOUD_CREDENTIAL_PATH \(.*, gs "gs:\/\/models\/vision"\) → .*\.json$/,
      ),
    });
    expect((await who('gs://other/x')).token).toBe('for one');
    expect((await who('gs://public/x')).token).toBe('for environment');
    await expect(who('gs://models/x')).rejects.toThrow(/→ \/none\.json: expected a file, found none$/);
  });

  it.each([
    ['{', /expected a service account, or a user with a refresh token, found neither$/],
    [{ type: 'external_account' }, /found "external_account"$/],
    [{ client_email: 'a', private_key: 'secret' }, /expected a private key in PEM, found something else$/],
    [
      { client_id: 'a', client_secret: 'b', refresh_token: 'c', token_uri: 'nowhere' },
      /expected an address as token_uri, found none$/,
    ],
  ])('cannot be told from %j', async (content, message) => {
    const path = file(content);
    const failure = await lookUp({ GOOGLE_APPLICATION_CREDENTIALS: path }).catch((error) => error);
    expect(failure.code).toBe('SOURCE_CREDENTIALS');
    expect(failure.message).toContain(`GOOGLE_APPLICATION_CREDENTIALS (${path}): expected`);
    expect(failure.message).toMatch(message);
  });

  it('is the machine’s account where a metadata server says so', async () => {
    let answer: TokenAnswer = { access_token: 'machine', expires_in: 300, token_type: 'Bearer' };
    const server = await startTokenServer(({ path, headers }) =>
      path === TOKEN_PATH && headers['metadata-flavor'] === 'Google' ? answer : 403,
    );
    const variables = { GCE_METADATA_HOST: server.host, NO_GCE_CHECK: '' };
    const lease = await lookUp(variables);
    expect(lease.value).toMatchObject({ token: 'machine', origin: "the machine's service account" });
    expect(lease.endsAtMs).toBeLessThanOrEqual(Date.now() + 300_000);
    await lookUp({ ...variables, NO_GCE_CHECK: 'true' });
    expect(server.lines).toEqual([`GET ${TOKEN_PATH}`]);
    answer = 404; // a machine without an account, or of another cloud
    expect((await lookUp(variables)).value.origin).toBeNull();
    answer = 503;
    await expect(lookUp(variables)).rejects.toThrow('the token server answers 503');
    const gone = { ...variables, GCE_METADATA_HOST: '127.0.0.1:1' };
    expect((await lookUp(gone)).value.origin).toBeNull();
  });
});

describe('a folder in Google Cloud Storage', () => {
  it('comes to who has an HMAC key, signed as S3 has it', async () => {
    const key = { id: 'GOOG1', secret: 'hmac', sessionToken: null };
    let host = '';
    host = await startStore({
      next: 'continuation-token',
      isAllowed: ({ url = '', headers }) => {
        const { pathname: path, searchParams } = new URL(url, 'http://x');
        const iso = String(headers['x-amz-date'] ?? '').replace(
          /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/,
          '$1-$2-$3T$4:$5:$6Z',
        );
        const { range, 'if-match': condition } = headers;
        const own = { ...(range && { range }), ...(condition && { 'if-match': condition }) };
        const request = { origin: `http://${host}`, path, query: [...searchParams], headers: own };
        const scope = { key, region: 'auto', service: 's3', nowMs: Date.parse(iso) } as const;
        return (
          !Number.isNaN(scope.nowMs) && headers.authorization === signS3(request, scope)['authorization']
        );
      },
    });
    const variables = { STORAGE_EMULATOR_HOST: host, HOME: tempDir(), GS_ACCESS_KEY_ID: key.id };
    expect(await obtain('gs://bkt/dir/', { ...variables, GS_SECRET_ACCESS_KEY: key.secret })).toEqual(
      expected,
    );
    await expect(obtain('gs://bkt/dir/', { ...variables, GS_SECRET_ACCESS_KEY: 'other' })).rejects.toThrow(
      /403 SignatureDoesNotMatch: no; asked as GS_ACCESS_KEY_ID of the environment says$/,
    );
  });

  it('comes on a token that is got anew before it ends', async () => {
    let given = 0;
    const metadata = await startTokenServer(() => {
      given += 1;
      return { access_token: `token-${given}`, expires_in: 1 };
    });
    const host = await startStore({
      next: 'continuation-token',
      // Each token is good for one request alone.
      isAllowed: ({ headers }) => headers.authorization === `Bearer token-${given}`,
    });
    const store = `http://${host}`;
    const variables = { HOME: tempDir(), GCE_METADATA_HOST: metadata.host };
    expect(await obtain(`gs://${store}/bkt/deep/`, variables).catch((error) => error.message)).toMatch(
      /no such/,
    );
    expect(given).toBeGreaterThan(0);
    const before = given;
    expect(await obtain(`gs://${store}/bkt/dir/a b+&é.json`, variables)).toHaveLength(1);
    expect(given - before).toBeGreaterThanOrEqual(2);
  });
});
