import type { Variables } from '../../config/environment.ts';
import type { ModelUri } from '../../config/model-uri.ts';
import { googleCredentials, googleSigner } from './credentials/google-credentials.ts';
import { Renewable } from './credentials/renewable.ts';
import { parseBucketList } from './list-xml.ts';
import { presignGoogle, presignS3 } from './presign.ts';
import type { Dialect, SourceContext } from './remote-source.ts';
import { encodeKey, type StoreRequest } from './requests.ts';
import { signS3 } from './sign-s3.ts';

/** A bucket of Google Cloud Storage, by its XML API; without credentials requests carry no token. */
export function gsDialect(uri: ModelUri, { variables, ask, environment }: SourceContext): Dialect {
  const { bucket, endpoint } = uri;
  const place = `gs://${endpoint === null ? '' : `${endpoint}/`}${bucket}/`;
  const origin = endpoint ?? emulatorIn(variables) ?? 'https://storage.googleapis.com';
  const credentials = new Renewable(async () => await googleCredentials(uri, variables, ask));
  const request = (ending: string, query: StoreRequest['query']): StoreRequest => ({
    ...{ origin, path: `/${bucket}${ending}`, query, headers: {} },
  });
  return {
    place,
    object: (key) => request(`/${encodeKey(key)}`, []),
    listing: {
      request: (prefix, next) =>
        request('', [
          ...(next === null ? [] : [['continuation-token', next] as const]),
          ['encoding-type', 'url'],
          ['list-type', '2'],
          ['prefix', prefix],
        ]),
      after: (prefix, key) =>
        request('', [
          ['encoding-type', 'url'],
          ['list-type', '2'],
          ['prefix', prefix],
          ['start-after', key],
        ]),
      parse: (xml) => parseBucketList(xml, 'NextContinuationToken'),
    },
    sign: async (plain) => {
      const { token, key } = await credentials.get();
      if (token !== null) return { ...plain.headers, authorization: `Bearer ${token}` };
      if (key === null) return plain.headers;
      return signS3(plain, { key, region: 'auto', service: 's3', nowMs: Date.now() });
    },
    presign: async (plain) => {
      const { key, token } = await credentials.get();
      if (key !== null) return presignS3(plain, { key, region: 'auto', nowMs: Date.now() });
      if (token === null) return plain;
      return presignGoogle(plain, { ...(await googleSigner(uri, variables, place)), nowMs: Date.now() });
    },
    renew: async (askedAtMs) => await credentials.renew(askedAtMs),
    hint: (status) => {
      if (status !== 401 && status !== 403) return '';
      const asked = credentials.held?.origin ?? null;
      return asked === null
        ? `no credentials were found: set GOOGLE_APPLICATION_CREDENTIALS in ${environment}`
        : `asked as ${asked} says`;
    },
  };
}

function emulatorIn(variables: Variables): string | null {
  const given = (variables['STORAGE_EMULATOR_HOST'] || '').replace(/\/+$/, '');
  if (given === '') return null;
  return /^https?:\/\//.test(given) ? given : `http://${given}`;
}
