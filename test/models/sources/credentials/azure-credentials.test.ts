import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ModelUri, readModelUri } from '../../../../src/config/model-uri.ts';
import { asDialect } from '../../../../src/models/sources/as-source.ts';
import { azureCredentials } from '../../../../src/models/sources/credentials/azure-credentials.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { asking, startTokenServer, type TokenAnswer } from './token-server.ts';

type Variables = Record<string, string>;

const KEY = 'a2V5';
const TOKEN: TokenAnswer = { access_token: 'granted', expires_in: '3599', resource: 'x' };

function readUri(text = 'as://acct/models/whisper/'): ModelUri {
  const reading = readModelUri(text);
  return reading.ok ? reading.uri : expect.fail(reading.hint);
}

function file(content: object | string): string {
  const path = join(tempDir(), 'file');
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

async function lookUp(variables: Variables, uri = readUri()) {
  return await azureCredentials(uri, variables, asking(variables));
}

const found = async (variables: Variables) => (await lookUp(variables)).value;

describe('an account’s key', () => {
  it.each([
    [{ AZURE_STORAGE_KEY: KEY }, 'acct', 'AZURE_STORAGE_KEY of the environment'],
    [
      { AZURE_STORAGE_KEY: KEY, AZURE_STORAGE_ACCOUNT: 'other' },
      'other',
      'AZURE_STORAGE_KEY of the environment',
    ],
    [{ AZURE_STORAGE_ACCESS_KEY: KEY }, 'acct', 'AZURE_STORAGE_ACCESS_KEY of the environment'],
    [
      {
        AZURE_STORAGE_CONNECTION_STRING: `DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=${KEY}==;`,
      },
      ...(['acct', 'AZURE_STORAGE_CONNECTION_STRING of the environment'] as const),
    ],
  ])('is found in %j', async (variables, account, origin) => {
    const { key, ...others } = await found(variables);
    expect(key).toMatchObject({ account, key: expect.stringMatching(/^a2V5(==)?$/) });
    expect(others).toEqual({ token: null, origin });
  });

  it('is none where there is none, and that of a connection string for another account', async () => {
    const nobody = { key: null, token: null, origin: null };
    expect(await found({})).toEqual(nobody);
    const other = { AZURE_STORAGE_CONNECTION_STRING: `AccountName=other;AccountKey=${KEY}` };
    expect(await found(other)).toEqual(nobody);
  });

  it.each([
    [{ AZURE_STORAGE_KEY: 'no base64!' }, /AZURE_STORAGE_KEY of the environment: expected a key in base64/],
    [
      { AZURE_STORAGE_AUTH_TYPE: 'magic' },
      /auth_type: expected key, managed_identity or default, found "magic"/,
    ],
    [
      { AZURE_STORAGE_CONNECTION_STRING: 'UseDevelopmentStorage=true;secret' },
      /^AZURE_STORAGE_CONNECTION_STRING: expected AccountName=…;AccountKey=…, .* found neither$/,
    ],
    [
      { AZURE_STORAGE_CONNECTION_STRING: `AccountName=acct;AccountKey=${KEY};BlobEndpoint=nowhere` },
      /expected an address as BlobEndpoint, found none$/,
    ],
  ])('is refused in %j', async (variables, message) => {
    const failure = await lookUp(variables).catch((error) => error);
    expect(failure.code).toBe('SOURCE_CREDENTIALS');
    expect(failure.message).toMatch(message);
    expect(failure.message).not.toContain('secret');
  });

  it('is that of the cloud credential file’s longest prefix, whose empty entry stands for the environment', async () => {
    const entry = (name: string) => ({ account_str: name, account_key: KEY });
    const as = {
      ...{ '': entry('all'), 'as://acct/models': entry('longer'), 'as://acct': entry('long') },
      'as://empty/': { account_str: '', account_key: '' },
    };
    const variables = { TRITON_CLOUD_CREDENTIAL_PATH: file({ as }), AZURE_STORAGE_KEY: 'ZW52' };
    const who = async (uri: string) => (await lookUp(variables, readUri(uri))).value;
    expect(await who('as://acct/models/x?sv=1')).toMatchObject({
      key: { account: 'longer' },
      origin: expect.stringMatching(/^TRITON_CLOUD_CREDENTIAL_PATH \(.*, as "as:\/\/acct\/models"\)$/),
    });
    expect((await who('as://acct/other/x')).key?.account).toBe('long');
    expect((await who('as://elsewhere/c/x')).key?.account).toBe('all');
    expect(await who('as://empty/c/x')).toMatchObject({
      ...{ key: { account: 'empty', key: 'ZW52' }, origin: 'AZURE_STORAGE_KEY of the environment' },
    });
  });
});

describe('where a connection string leads', () => {
  const requestOf = (connection: string, more: Variables = {}, uri = readUri('as://acct/models/m.bin')) => {
    const variables = { AZURE_STORAGE_CONNECTION_STRING: connection, ...more };
    const context = { variables, ask: asking(variables), environment: 'the environment' };
    const { origin, path, query } = asDialect(uri, context).object('m.bin');
    return [`${origin}${path}`, query];
  };

  it('is its blob endpoint, unless the URI names another', () => {
    const key = `AccountName=acct;AccountKey=${KEY}`;
    expect(requestOf(key)[0]).toBe('https://acct.blob.core.windows.net/models/m.bin');
    expect(requestOf(`${key};EndpointSuffix=core.chinacloudapi.cn`)[0]).toBe(
      'https://acct.blob.core.chinacloudapi.cn/models/m.bin',
    );
    expect(requestOf(`${key};BlobEndpoint=http://127.0.0.1:10000/acct;`)[0]).toBe(
      'http://127.0.0.1:10000/acct/models/m.bin',
    );
    const own = readUri('as://http://127.0.0.1:9/acct/models/m.bin');
    expect(requestOf(`${key};BlobEndpoint=http://127.0.0.1:10000/acct`, {}, own)[0]).toBe(
      'http://127.0.0.1:9/acct/models/m.bin',
    );
  });

  it('is asked with its shared access signature, unless something else is given', () => {
    const signed =
      'BlobEndpoint=https://acct.blob.core.windows.net/;SharedAccessSignature=sv=2020-10-02&sig=a%2Bb%3D';
    expect(requestOf(signed)[1]).toEqual([
      ['sv', '2020-10-02'],
      ['sig', 'a+b='],
    ]);
    expect(requestOf(signed, { AZURE_STORAGE_KEY: KEY })[1]).toEqual([]);
    expect(requestOf(signed, { AZURE_STORAGE_SAS_TOKEN: 'sv=1' })[1]).toEqual([['sv', '1']]);
  });
});

describe('a token of Entra ID', () => {
  it('is that of the machine, of one of its identities', async () => {
    const service = await startTokenServer(({ path, headers }) =>
      path === '/metadata/identity/oauth2/token' && headers['metadata'] === 'true' ? TOKEN : 400,
    );
    const variables = {
      ...{ AZURE_STORAGE_AUTH_TYPE: 'managed_identity', AZURE_STORAGE_CLIENT_ID: 'id-2' },
      AZURE_POD_IDENTITY_AUTHORITY_HOST: `${service.url}/`,
    };
    const lease = await lookUp(variables);
    expect(lease.value).toEqual({ key: null, token: 'granted', origin: 'the managed identity' });
    expect(lease.endsAtMs).toBeGreaterThan(Date.now() + 3_500_000);
    expect(Object.fromEntries(service.asked[0]?.query ?? [])).toEqual({
      ...{ 'api-version': '2018-02-01', resource: 'https://storage.azure.com/', client_id: 'id-2' },
    });
  });

  it('is that of an app service, with the secret of its header', async () => {
    const service = await startTokenServer(({ headers }) =>
      headers['x-identity-header'] === 'let me' ? TOKEN : [401, { error: 'nobody' }],
    );
    const variables = {
      AZURE_STORAGE_AUTH_TYPE: 'managed_identity',
      IDENTITY_ENDPOINT: `${service.url}/msi`,
    };
    expect((await found({ ...variables, IDENTITY_HEADER: 'let me' })).token).toBe('granted');
    await expect(found({ ...variables, IDENTITY_HEADER: 'x' })).rejects.toThrow(
      'the managed identity: expected a token for storage, found an answer of 401 nobody',
    );
  });

  it('is that of a service principal, or of a workload by the token in its file, without more being said', async () => {
    let answer: TokenAnswer = TOKEN;
    const entra = await startTokenServer(() => answer);
    const principal = {
      ...{ AZURE_TENANT_ID: 'ten', AZURE_CLIENT_ID: 'cli', AZURE_AUTHORITY_HOST: `${entra.url}/` },
    };
    expect(await found({ ...principal, AZURE_CLIENT_SECRET: 'sec' })).toEqual({
      ...{ key: null, token: 'granted', origin: 'AZURE_CLIENT_ID of the environment' },
    });
    expect(entra.lines).toEqual(['POST /ten/oauth2/v2.0/token']);
    expect(Object.fromEntries(entra.asked[0]?.form ?? [])).toEqual({
      ...{ grant_type: 'client_credentials', client_id: 'cli', client_secret: 'sec' },
      scope: 'https://storage.azure.com/.default',
    });
    const token = file('jwt-1\n');
    await found({ ...principal, AZURE_FEDERATED_TOKEN_FILE: token });
    writeFileSync(token, 'jwt-2');
    await found({ ...principal, AZURE_FEDERATED_TOKEN_FILE: token });
    expect(entra.asked.slice(1).map(({ form }) => form.get('client_assertion'))).toEqual(['jwt-1', 'jwt-2']);
    expect(
      (await found({ ...principal, AZURE_CLIENT_SECRET: 'sec', AZURE_STORAGE_KEY: KEY })).token,
    ).toBeNull();
    answer = [401, { error: 'invalid_client', error_description: 'AADSTS7000215: wrong\nsecret' }];
    await expect(found({ ...principal, AZURE_CLIENT_SECRET: 'hidden' })).rejects.toThrow(
      /^AZURE_CLIENT_ID of the environment: .* found an answer of 401 invalid_client AADSTS7000215: wrong secret$/,
    );
    await expect(found({ ...principal, AZURE_FEDERATED_TOKEN_FILE: '/none' })).rejects.toThrow(
      /AZURE_FEDERATED_TOKEN_FILE: expected a token in \/none, found none/,
    );
  });

  it('is asked for again while the machine’s server cannot say', async () => {
    const busy = await startTokenServer(() => 429);
    const variables = { AZURE_STORAGE_AUTH_TYPE: 'default', AZURE_POD_IDENTITY_AUTHORITY_HOST: busy.url };
    await expect(found(variables)).rejects.toThrow('the token server answers 429');
    await expect(
      found({ ...variables, AZURE_POD_IDENTITY_AUTHORITY_HOST: 'http://127.0.0.1:1' }),
    ).rejects.toThrow(/^the managed identity: http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/);
  });
});
