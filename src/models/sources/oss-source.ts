import type { Variables } from '../../config/environment.ts';
import type { ModelUri } from '../../config/model-uri.ts';
import { parseBucketList } from './list-xml.ts';
import { presignOss } from './presign.ts';
import type { Dialect, SourceContext } from './remote-source.ts';
import { encodeKey, type StoreRequest } from './requests.ts';
import { signOss } from './sign-oss.ts';
import type { AccessKey } from './sign-s3.ts';
import { SourceError } from './types.ts';

/** How a bucket of OSS is asked. */
export interface OssBucket {
  /** as the endpoint is written, its scheme may be missing */
  readonly endpoint: string;
  readonly bucket: string;
  /** requests are signed with version 4 for it; null: with version 1, which needs none */
  readonly region: string | null;
  /** asked for each request; null: requests are not signed */
  readonly key: () => AccessKey | null | Promise<AccessKey | null>;
  /** what to do when OSS refuses */
  readonly hint: string;
}

/** A bucket of Alibaba Cloud's OSS; requests are not signed where no credentials are given. */
export function ossDialect({ bucket, endpoint }: ModelUri, context: SourceContext): Dialect {
  const { variables, environment } = context;
  const place = `oss://${endpoint === null ? '' : `${endpoint}/`}${bucket}/`;
  const key = keyIn(variables);
  return ossBucketDialect(place, {
    endpoint: endpoint ?? endpointIn(context, place),
    bucket,
    region: variables['OSS_REGION'] || null,
    key: () => key,
    hint:
      key === null
        ? `no credentials were found: set OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET in ${environment}`
        : 'asked with OSS_ACCESS_KEY_ID of the environment',
  });
}

/** The same with credentials from elsewhere. @param place for messages */
export function ossBucketDialect(place: string, { endpoint, bucket, region, key, hint }: OssBucket): Dialect {
  const service = new URL(withScheme(endpoint));
  // OSS takes the bucket as part of the host alone; an address has room for it in the path only.
  const isPathStyle = /^\d+(\.\d+){3}$|^\[|^localhost$/.test(service.hostname);
  const origin = isPathStyle ? service.origin : `${service.protocol}//${bucket}.${service.host}`;
  const root = isPathStyle ? `/${bucket}/` : '/';
  // A marker is any key, one that is there or not.
  const list = (prefix: string, marker: string | null): StoreRequest => ({
    ...{ origin, path: root, headers: {} },
    query: [
      ['encoding-type', 'url'],
      ...(marker === null ? [] : [['marker', marker] as const]),
      ['max-keys', '1000'],
      ['prefix', prefix],
    ],
  });
  return {
    place,
    object: (name) => ({ origin, path: `${root}${encodeKey(name)}`, query: [], headers: {} }),
    listing: { request: list, after: list, parse: (xml) => parseBucketList(xml, 'NextMarker') },
    sign: async (request) => {
      const current = await key();
      if (current === null) return request.headers;
      return signOss(request, {
        key: current,
        region,
        resource: resourceOf(request, bucket, root),
        nowMs: Date.now(),
      });
    },
    presign: async (request) => {
      const current = await key();
      if (current === null) return request;
      const resource = resourceOf(request, bucket, root);
      return presignOss(request, { key: current, region, resource, nowMs: Date.now() });
    },
    renew: async () => false, // whoever has others asks again
    hint: (status) => (status === 401 || status === 403 ? hint : ''),
  };
}

function resourceOf({ path }: StoreRequest, bucket: string, root: string): string {
  return `/${bucket}/${decodeURIComponent(path.slice(root.length))}`;
}

/** With http in front unless it says otherwise, as Alibaba's own connector has it. */
function withScheme(endpoint: string): string {
  return /^https?:\/\//.test(endpoint) ? endpoint : `http://${endpoint}`;
}

function endpointIn({ variables, environment }: SourceContext, place: string): string {
  const given = variables['OSS_ENDPOINT'] || '';
  if (given !== '' && URL.canParse(withScheme(given))) return given;
  throw new SourceError(
    `${place}: OSS_ENDPOINT in ${environment}: expected the address of OSS, such as https://oss-cn-beijing.aliyuncs.com, found ${given === '' ? 'none' : 'what is no address'}`,
    { code: 'SOURCE_CREDENTIALS' },
  );
}

function keyIn(variables: Variables): AccessKey | null {
  const [id, secret] = [variables['OSS_ACCESS_KEY_ID'], variables['OSS_ACCESS_KEY_SECRET']];
  if (!id && !secret) return null;
  if (id && secret) return { id, secret, sessionToken: variables['OSS_SESSION_TOKEN'] || null };
  throw new SourceError(
    'OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET: one is set and the other is not; give both or none',
    {
      code: 'SOURCE_CREDENTIALS',
    },
  );
}
