import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ModelUri, readModelUri } from '../../../../src/config/model-uri.ts';
import { awsCredentials } from '../../../../src/models/sources/credentials/aws-credentials.ts';
import { readProfiles } from '../../../../src/models/sources/credentials/aws-profiles.ts';
import { cloudEntry } from '../../../../src/models/sources/credentials/cloud-file.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { asking, startTokenServer, type TokenAnswer } from './token-server.ts';

type Variables = Record<string, string>;

const URI = readUri('s3://models/bert/');
/** Nothing of the machine that the tests run on. */
const ALONE = { AWS_EC2_METADATA_DISABLED: 'true' };
const IN_ENVIRONMENT = { AWS_ACCESS_KEY_ID: 'env', AWS_SECRET_ACCESS_KEY: 'env-secret' };
const ENDS = '2100-01-02T03:04:05Z';

function readUri(text: string): ModelUri {
  const reading = readModelUri(text);
  return reading.ok ? reading.uri : expect.fail(reading.hint);
}

/** A home folder with what `~/.aws` holds. */
function home(config: string, credentials = ''): Variables {
  const folder = tempDir();
  mkdirSync(join(folder, '.aws'));
  writeFileSync(join(folder, '.aws', 'config'), config);
  writeFileSync(join(folder, '.aws', 'credentials'), credentials);
  return { HOME: folder };
}

function file(content: string): string {
  const path = join(tempDir(), 'file');
  writeFileSync(path, content);
  return path;
}

async function lookUp(variables: Variables) {
  const all = { HOME: '/nonexistent', ...ALONE, ...variables };
  const profiles = await readProfiles(all);
  const context = { uri: URI, variables: all, ask: asking(all), profiles, region: 'eu-central-1' };
  return await awsCredentials(await cloudEntry(URI, all), context);
}

/** id, secret, token, and whose it is */
async function found(variables: Variables) {
  const { key, origin } = (await lookUp(variables)).value;
  return [key?.id, key?.secret, key?.sessionToken, origin];
}

const keyAnswer = (id: string) => ({
  ...{ Code: 'Success', AccessKeyId: id, SecretAccessKey: `${id}-secret`, Token: `${id}-token` },
  Expiration: ENDS,
});

const stsAnswer = (id: string): string =>
  `<R><Credentials><AccessKeyId>${id}</AccessKeyId><SecretAccessKey>${id}-secret</SecretAccessKey><SessionToken>${id}-token</SessionToken><Expiration>${ENDS}</Expiration></Credentials></R>`;

describe('the key for S3 in variables and files', () => {
  it('is nobody’s where there is none, or where none is wanted', async () => {
    expect(await lookUp({})).toEqual({ value: { key: null, origin: '' }, endsAtMs: null });
    expect(await found({ ...IN_ENVIRONMENT, awsAnonymousCredential: 'true' })).toEqual([
      ...[undefined, undefined, undefined, ''],
    ]);
  });

  it('is that of the environment before all others, with its token', async () => {
    const files = home('', '[default]\naws_access_key_id = file\naws_secret_access_key = s\n');
    const variables = { ...files, ...IN_ENVIRONMENT, AWS_SESSION_TOKEN: 't' };
    expect(await found(variables)).toEqual([
      ...['env', 'env-secret', 't', 'AWS_ACCESS_KEY_ID of the environment'],
    ]);
  });

  it.each([
    [{ AWS_ACCESS_KEY_ID: 'a' }, /found AWS_ACCESS_KEY_ID and no AWS_SECRET_ACCESS_KEY$/],
    [{ AWS_SECRET_ACCESS_KEY: 'secret' }, /found AWS_SECRET_ACCESS_KEY and no AWS_ACCESS_KEY_ID$/],
    [{ AWS_PROFILE: 'gone' }, /^AWS_PROFILE names "gone", which is neither in ~\/\.aws\/credentials nor/],
  ])('is refused where half of it is there: %j', async (variables, message) => {
    const failure = await lookUp(variables).catch((error) => error);
    expect(failure.code).toBe('SOURCE_CREDENTIALS');
    expect(failure.message).toMatch(message);
  });

  it('is that of a profile, in either file; the credentials file wins', async () => {
    const files = home(
      '[default]\nregion = x\n[profile both]\naws_access_key_id = c\naws_secret_access_key = c-secret\n',
      [
        '# a comment\n[default]\naws_access_key_id=d\naws_secret_access_key=a+/b=\n',
        '[both]\naws_access_key_id = s\naws_secret_access_key = s-secret\naws_session_token = t==\n',
      ].join('\n'),
    );
    expect(await found(files)).toEqual(['d', 'a+/b=', null, 'profile default in ~/.aws']);
    expect(await found({ ...files, AWS_PROFILE: 'both' })).toEqual([
      ...['s', 's-secret', 't==', 'profile both in ~/.aws'],
    ]);
    const elsewhere = file('[default]\naws_access_key_id = e\naws_secret_access_key = es\n');
    expect((await found({ AWS_SHARED_CREDENTIALS_FILE: elsewhere }))[0]).toBe('e');
  });

  it('is what a program prints that a profile names', async () => {
    const printed = JSON.stringify({ Version: 1, ...keyAnswer('made'), Token: undefined, SessionToken: 't' });
    const files = home(
      `[default]\ncredential_process = cat "${file(printed)}"\n[profile bad]\ncredential_process = echo a secret; exit 3\n[profile sso]\nsso_start_url = https://x\n`,
    );
    const lease = await lookUp(files);
    expect(lease.value.key).toEqual({ id: 'made', secret: 'made-secret', sessionToken: 't' });
    expect(lease.endsAtMs).toBe(Date.parse(ENDS));
    await expect(lookUp({ ...files, AWS_PROFILE: 'bad' })).rejects.toThrow(
      /^credential_process of profile bad in ~\/\.aws: expected a key as JSON, found exit code \d+ and no key$/,
    );
    await expect(lookUp({ ...files, AWS_PROFILE: 'sso' })).rejects.toThrow(
      /profile sso in ~\/\.aws: expected a key.* found single sign-on, which is not supported/,
    );
  });

  it('is that of the cloud credential file’s longest prefix, of the profile it names, or else as without it', async () => {
    const files = home('[profile other]\naws_access_key_id = o\naws_secret_access_key = os\n');
    const cloud = (s3: object): Variables => ({
      ...{ ...files, ...IN_ENVIRONMENT },
      TRITON_CLOUD_CREDENTIAL_PATH: file(JSON.stringify({ s3 })),
    });
    const own = { key_id: 'k', secret_key: 'ks', session_token: 'kt' };
    expect(await found(cloud({ '': {}, 's3://models/': { profile: 'x' }, 's3://models/bert': own }))).toEqual(
      [
        'k',
        'ks',
        'kt',
        expect.stringMatching(/^TRITON_CLOUD_CREDENTIAL_PATH \(.*, s3 "s3:\/\/models\/bert"\)$/),
      ],
    );
    expect((await found(cloud({ 's3://models/bert/': { key_id: '', profile: 'other' } })))[0]).toBe('o');
    expect((await found(cloud({ '': { secret_key: '', key_id: '', region: 'x' } })))[0]).toBe('env');
    await expect(lookUp(cloud({ '': { key_id: 'k' } }))).rejects.toThrow(/found key_id and no secret_key$/);
    await expect(lookUp(cloud({ '': { profile: 'gone' } }))).rejects.toThrow(
      /^TRITON_CLOUD_CREDENTIAL_PATH \(.*, s3 ""\) names "gone"/,
    );
  });
});

describe('the key for S3 from the token service', () => {
  it('is the role of a profile, taken with the key of another, or of itself', async () => {
    const sts = await startTokenServer(({ query }) => stsAnswer(query.get('RoleArn') ?? ''));
    const files = home(
      [
        '[profile base]\naws_access_key_id = base\naws_secret_access_key = bs\n',
        '[profile middle]\nrole_arn = m\nsource_profile = base\n',
        '[profile top]\nrole_arn = t\nsource_profile = middle\nexternal_id = 12\nrole_session_name = me\n',
        '[profile self]\nrole_arn = self\nsource_profile = self\naws_access_key_id = own\naws_secret_access_key = os\n',
        '[profile env]\nrole_arn = e\ncredential_source = Environment\n',
        '[profile a]\nrole_arn = a\nsource_profile = b\n[profile b]\nrole_arn = b\nsource_profile = a\n',
      ].join(''),
    );
    const variables = { ...files, AWS_ENDPOINT_URL_STS: sts.url };
    const as = async (profile: string, more: Variables = {}) =>
      await found({ ...variables, ...more, AWS_PROFILE: profile });
    expect(await as('top')).toEqual(['t', 't-secret', 't-token', 'profile top in ~/.aws']);
    const [middle, top] = sts.asked;
    expect(Object.fromEntries(top?.query ?? [])).toEqual({
      ...{ Action: 'AssumeRole', ExternalId: '12', RoleArn: 't', RoleSessionName: 'me' },
      Version: '2011-06-15',
    });
    expect(middle?.headers['authorization']).toMatch(
      /Credential=base\/\d{8}\/eu-central-1\/sts\/aws4_request/,
    );
    expect(top?.headers).toMatchObject({ 'x-amz-security-token': 'm-token' });
    expect((await as('self'))[0]).toBe('self');
    await expect(as('env')).rejects.toThrow(/profile env in ~\/\.aws: expected a key that takes its role/);
    await expect(as('a')).rejects.toThrow(/expected a source_profile with a key, found profiles in a circle/);
  });

  it('is the role of whoever holds the token in a file, which is read each time', async () => {
    const sts = await startTokenServer(({ query }) => stsAnswer(query.get('WebIdentityToken') ?? ''));
    const token = file('one\n');
    const variables = {
      ...{ AWS_ROLE_ARN: 'arn:r', AWS_WEB_IDENTITY_TOKEN_FILE: token, AWS_ENDPOINT_URL_STS: `${sts.url}/` },
    };
    expect(await lookUp(variables)).toMatchObject({
      value: { key: { id: 'one' }, origin: 'AWS_WEB_IDENTITY_TOKEN_FILE of the environment' },
      endsAtMs: Date.parse(ENDS),
    });
    writeFileSync(token, 'two');
    expect((await found(variables))[0]).toBe('two');
    const [asked] = sts.asked;
    expect([asked?.query.get('Action'), asked?.query.get('RoleSessionName')]).toEqual([
      ...['AssumeRoleWithWebIdentity', 'modelserve'],
    ]);
    expect(asked?.headers['authorization']).toBeUndefined();
    writeFileSync(token, '');
    await expect(lookUp(variables)).rejects.toThrow(/: expected a token in \/.*, found none$/);
  });

  it('is refused in the words of AWS, and asked for again where it could not answer', async () => {
    let answer: TokenAnswer = [
      403,
      '<E><Error><Code>AccessDenied</Code><Message>Not yours</Message></Error></E>',
    ];
    const sts = await startTokenServer(() => answer);
    const variables = {
      ...{
        AWS_ROLE_ARN: 'arn:r',
        AWS_WEB_IDENTITY_TOKEN_FILE: file('secret'),
        AWS_ENDPOINT_URL_STS: sts.url,
      },
    };
    await expect(lookUp(variables)).rejects.toThrow(
      /expected the role arn:r, found an answer of 403 AccessDenied: Not yours$/,
    );
    answer = 503;
    await expect(lookUp(variables)).rejects.toThrow('the token service of AWS answers 503');
  });
});

describe('the key for S3 of the machine', () => {
  it('is that of the container’s role, by the token in a variable or a file', async () => {
    const container = await startTokenServer(({ headers }) =>
      String(headers['authorization'] ?? '').startsWith('let me')
        ? keyAnswer('task')
        : [401, { code: 'Who', message: 'are you' }],
    );
    const place = { AWS_CONTAINER_CREDENTIALS_FULL_URI: `${container.url}/keys` };
    const right = { ...place, AWS_CONTAINER_AUTHORIZATION_TOKEN: 'let me in' };
    expect(await found(right)).toEqual(['task', 'task-secret', 'task-token', 'the role of the container']);
    const byFile = { ...place, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: file('let me\n') };
    expect((await lookUp(byFile)).endsAtMs).toBe(Date.parse(ENDS));
    await expect(lookUp(place)).rejects.toThrow(
      /the role of the container: expected a key from http:.*\/keys, found an answer of 401 Who are you$/,
    );
    await expect(lookUp({ ...place, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: '/none' })).rejects.toThrow(
      /AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: expected a token in \/none, found none/,
    );
    await expect(
      lookUp({ ...right, AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://example.com/keys' }),
    ).rejects.toThrow(/expected https, or this machine, found another address/);
  });

  const METADATA = '/latest/meta-data/iam/security-credentials/';

  /** EC2's service of the second version: who has no token of the session is told nothing. */
  async function instance(answers: Record<string, TokenAnswer>) {
    const service = await startTokenServer(({ method, path, headers }) => {
      if (method === 'PUT' && path === '/latest/api/token') {
        return headers['x-aws-ec2-metadata-token-ttl-seconds'] === undefined ? 400 : 'session';
      }
      return headers['x-aws-ec2-metadata-token'] === 'session' ? (answers[path] ?? 404) : 401;
    });
    const variables = { AWS_EC2_METADATA_DISABLED: '', AWS_EC2_METADATA_SERVICE_ENDPOINT: `${service.url}/` };
    return { service, variables };
  }

  it('is that of the instance’s role, by a session', async () => {
    const { service, variables } = await instance({
      ...{ [METADATA]: 'reader\n', [`${METADATA}reader`]: keyAnswer('ec2') },
    });
    expect(await found(variables)).toEqual([
      ...['ec2', 'ec2-secret', 'ec2-token', "the instance's role reader"],
    ]);
    expect(service.lines).toEqual(['PUT /latest/api/token', `GET ${METADATA}`, `GET ${METADATA}reader`]);
    await found({ ...variables, AWS_EC2_METADATA_DISABLED: 'true' });
    expect(service.asked).toHaveLength(3);
  });

  it('is nobody’s where there is no role, and no such service', async () => {
    expect((await lookUp((await instance({})).variables)).value.key).toBeNull();
    const gone = { AWS_EC2_METADATA_DISABLED: '', AWS_EC2_METADATA_SERVICE_ENDPOINT: 'http://127.0.0.1:1' };
    expect((await lookUp(gone)).value.key).toBeNull();
  });

  it('is asked for again, and not taken for nobody’s, while the service cannot say', async () => {
    const { variables } = await instance({ [METADATA]: 'reader', [`${METADATA}reader`]: 500 });
    await expect(lookUp(variables)).rejects.toThrow(/^http:\/\/127.*answers 500$/);
    const failing = await instance({ [METADATA]: 503 });
    await expect(lookUp(failing.variables)).rejects.toThrow(/answers 503$/);
    const refused = await instance({
      [METADATA]: 'reader',
      [`${METADATA}reader`]: { Code: 'AssumeRoleUnauthorizedAccess', Message: 'no trust' },
    });
    await expect(lookUp(refused.variables)).rejects.toThrow(
      /the instance's role reader: expected a key .* found an answer of 200 AssumeRoleUnauthorizedAccess no trust$/,
    );
  });

  it('is taken by a profile that says where to look', async () => {
    const { variables } = await instance({ [METADATA]: 'reader', [`${METADATA}reader`]: keyAnswer('ec2') });
    const sts = await startTokenServer(({ headers }) => stsAnswer(`for-${headers['x-amz-security-token']}`));
    const files = home('[profile p]\nrole_arn = r\ncredential_source = Ec2InstanceMetadata\n');
    const all = { ...files, ...variables, AWS_PROFILE: 'p', AWS_ENDPOINT_URL_STS: sts.url };
    expect((await found(all))[0]).toBe('for-ec2-token');
  });
});
