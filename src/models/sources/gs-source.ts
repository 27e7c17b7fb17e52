import type { Variables } from '../../config/environment.ts';
import type { ModelUri } from '../../config/model-uri.ts';
import { GoogleToken } from './google-token.ts';
import { parseBucketList } from './list-xml.ts';
import type { Dialect } from './remote-source.ts';
import { encodeKey, type StoreRequest } from './requests.ts';

/** A bucket of Google Cloud Storage, by its XML API; without credentials requests carry no token. */
export function gsDialect({ bucket, endpoint }: ModelUri, variables: Variables): Dialect {
  const place = `gs://${endpoint === null ? '' : `${endpoint}/`}${bucket}/`;
  const origin = endpoint ?? emulatorIn(variables) ?? 'https://storage.googleapis.com';
  const path = variables['GOOGLE_APPLICATION_CREDENTIALS'] || null;
  const token = path === null ? null : new GoogleToken(path);
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
    sign: async ({ headers }) =>
      token === null ? headers : { ...headers, authorization: `Bearer ${await token.get()}` },
    hint: (status) => {
      if (status !== 401 && status !== 403) return '';
      return path === null
        ? 'no credentials were given: set GOOGLE_APPLICATION_CREDENTIALS in the environment of the head'
        : `asked as ${path} says`;
    },
  };
}

function emulatorIn(variables: Variables): string | null {
  const given = (variables['STORAGE_EMULATOR_HOST'] || '').replace(/\/+$/, '');
  if (given === '') return null;
  return /^https?:\/\//.test(given) ? given : `http://${given}`;
}
