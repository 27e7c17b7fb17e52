import type { Variables } from '../../config/environment.ts';
import type { ModelUri } from '../../config/model-uri.ts';
import { awsSettings } from './aws-settings.ts';
import { parseBucketList } from './list-xml.ts';
import type { Dialect } from './remote-source.ts';
import { encodeKey, type StoreRequest } from './requests.ts';
import { signS3 } from './sign-s3.ts';

/** A bucket of S3, or of a store that speaks its language; requests are not signed where no credentials are found. */
export async function s3Dialect({ bucket, endpoint }: ModelUri, variables: Variables): Promise<Dialect> {
  const settings = await awsSettings(variables);
  const place = `s3://${endpoint === null ? '' : `${endpoint}/`}${bucket}/`;
  const own = endpoint ?? settings.endpoint;
  // A certificate holds for one name before the domain: none for a bucket with dots.
  const isPathStyle = own !== null || bucket.includes('.');
  const domain = `s3.${settings.region}.amazonaws.com`;
  const origin = own ?? `https://${isPathStyle ? domain : `${bucket}.${domain}`}`;
  const root = isPathStyle ? `/${bucket}` : '';
  const request = (path: string, query: StoreRequest['query']): StoreRequest => ({
    ...{ origin, query, headers: {} },
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
    sign: async (unsigned) => {
      const { key, region } = await awsSettings(variables); // those of a file may have been renewed
      return key === null ? unsigned.headers : signS3(unsigned, { key, region, nowMs: Date.now() });
    },
    hint: (status, headers) => {
      const region = headers['x-amz-bucket-region'];
      if (typeof region === 'string' && region !== settings.region) {
        return `the bucket is in region ${region}: set AWS_REGION in the environment of the head`;
      }
      if (status !== 401 && status !== 403) return '';
      return settings.key === null
        ? 'no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment of the head, or write ~/.aws/credentials'
        : `asked with ${settings.origin}`;
    },
  };
}
