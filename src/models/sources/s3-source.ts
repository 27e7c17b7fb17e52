import { readFile } from 'node:fs/promises';
import type { Variables } from '../../config/environment.ts';
import type { ModelUri } from '../../config/model-uri.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Trust } from './connections.ts';
import { awsCredentials } from './credentials/aws-credentials.ts';
import { unusable } from './credentials/aws-keys.ts';
import { namedProfile, readProfiles } from './credentials/aws-profiles.ts';
import { type CloudEntry, cloudEntry } from './credentials/cloud-file.ts';
import { Renewable } from './credentials/renewable.ts';
import { parseBucketList } from './list-xml.ts';
import { presignS3 } from './presign.ts';
import type { Dialect, SourceContext } from './remote-source.ts';
import { encodeKey, type StoreRequest } from './requests.ts';
import { amazonDomain, signS3 } from './sign-s3.ts';

/** What does not change while a source is in use. */
interface S3Settings {
  readonly region: string;
  /** origin of a store of one's own; null: Amazon's */
  readonly endpoint: string | null;
  /** the bucket is part of the host, at a store of one's own as well */
  readonly isVirtual: boolean;
  readonly trust: Trust;
}

/** A bucket of S3, or of a store that speaks its language; requests are not signed where no credentials are found. */
export async function s3Dialect(uri: ModelUri, context: SourceContext): Promise<Dialect> {
  const { variables, ask, environment } = context;
  const settings = await settingsOf(await cloudEntry(uri, variables), variables);
  const { region, trust } = settings;
  const place = `s3://${uri.endpoint === null ? '' : `${uri.endpoint}/`}${uri.bucket}/`;
  const { origin, root } = addressOf(uri, settings);
  const credentials = new Renewable(async () => {
    const profiles = await readProfiles(variables); // those of a file may have been renewed
    return await awsCredentials(await cloudEntry(uri, variables), { uri, variables, ask, profiles, region });
  });
  const request = (path: string, query: StoreRequest['query']): StoreRequest => ({
    ...{ origin, query, headers: {}, trust },
    path: path === '' ? '/' : path,
  });
  return {
    place,
    object: (key) => request(`${root}/${encodeKey(key)}`, []),
    listing: {
      request: (prefix, next) =>
        request(root, [
          ...(next === null ? [] : [['continuation-token', next] as const]),
          ['encoding-type', 'url'],
          ['list-type', '2'],
          ['prefix', prefix],
        ]),
      after: (prefix, key) =>
        request(root, [
          ['encoding-type', 'url'],
          ['list-type', '2'],
          ['prefix', prefix],
          ['start-after', key],
        ]),
      parse: (xml) => parseBucketList(xml, 'NextContinuationToken'),
    },
    sign: async (plain) => {
      const { key } = await credentials.get();
      return key === null ? plain.headers : signS3(plain, { key, region, service: 's3', nowMs: Date.now() });
    },
    presign: async (plain) => {
      const { key } = await credentials.get();
      return key === null ? plain : presignS3(plain, { key, region, nowMs: Date.now() });
    },
    renew: async (askedAtMs) => await credentials.renew(askedAtMs),
    hint: (status, headers) => {
      const actual = headers['x-amz-bucket-region'];
      if (typeof actual === 'string' && actual !== region) {
        return `the bucket is in region ${actual}: set AWS_REGION in ${environment}`;
      }
      if (![400, 401, 403].includes(status)) return '';
      const asked = credentials.held?.origin ?? '';
      return asked === ''
        ? `no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in ${environment}, or write ~/.aws/credentials`
        : `asked with ${asked}`;
    },
  };
}

async function settingsOf(entry: CloudEntry | null, variables: Variables): Promise<S3Settings> {
  const fields = typeof entry?.value === 'object' ? entry.value : {};
  const profiles = await readProfiles(variables);
  const chosen = fields['profile'] || variables['AWS_PROFILE'] || '';
  const namedBy = fields['profile'] ? (entry?.origin ?? '') : 'AWS_PROFILE';
  const profile = chosen === '' ? (profiles.find('default') ?? {}) : namedProfile(chosen, profiles, namedBy);
  const endpoint =
    variables['AWS_ENDPOINT_URL_S3'] || variables['AWS_ENDPOINT_URL'] || profiles.endpointOf(profile);
  const region =
    fields['region'] || variables['AWS_REGION'] || variables['AWS_DEFAULT_REGION'] || profile['region'];
  return {
    region: region || 'us-east-1',
    endpoint: endpoint ? endpoint.replace(/\/+$/, '') : null,
    isVirtual: /^(?:true|1)$/i.test(variables['S3_USER_VIRTUAL_BUCKET'] || ''),
    trust: await trustOf(variables['AWS_CA_BUNDLE'] || profile['ca_bundle'] || '', variables),
  };
}

async function trustOf(bundle: string, variables: Variables): Promise<Trust> {
  const isVerified = !/^(?:0|false)$/i.test(variables['S3_VERIFY_SSL'] || '');
  if (bundle === '') return { ca: '', isVerified };
  try {
    return { ca: await readFile(bundle, 'utf8'), isVerified };
  } catch (error) {
    throw unusable(`AWS_CA_BUNDLE (${bundle})`, 'a file of certificates', messageOf(error));
  }
}

function addressOf(
  { bucket, endpoint }: ModelUri,
  settings: S3Settings,
): { readonly origin: string; readonly root: string } {
  const own = endpoint ?? settings.endpoint;
  // A certificate holds for one name before the domain: none for a bucket with dots.
  const isPathStyle = own === null ? bucket.includes('.') : !settings.isVirtual;
  const service = new URL(own ?? `https://s3.${settings.region}.${amazonDomain(settings.region)}`);
  return isPathStyle
    ? { origin: service.origin, root: `/${bucket}` }
    : { origin: `${service.protocol}//${bucket}.${service.host}`, root: '' };
}
