import type { ModelUri } from '../../config/model-uri.ts';
import { azureCredentials } from './credentials/azure-credentials.ts';
import { Renewable } from './credentials/renewable.ts';
import { parseBlobList } from './list-xml.ts';
import type { Dialect, SourceContext } from './remote-source.ts';
import { encodeKey, type StoreRequest } from './requests.ts';
import { signAzure } from './sign-azure.ts';

/** Of Azure's protocol; tokens of Entra ID and `If-Match` for ranges need 2017 or later. */
const VERSION = '2020-10-02';

/**
 * A container of Azure Blob Storage: with a shared access signature (in the URI, else in the environment), an account's
 * key, or a token; without any of them as anybody.
 */
export function asDialect(uri: ModelUri, { variables, ask }: SourceContext): Dialect {
  const { account, bucket, endpoint } = uri;
  const place = `as://${endpoint === null ? '' : `${endpoint}/`}${account}/${bucket}/`;
  const isOwnHost = endpoint === null || new URL(endpoint).host.startsWith(`${account}.blob.`);
  const origin = endpoint ?? `https://${account}.blob.core.windows.net`;
  const root = `${isOwnHost ? '' : `/${account}`}/${bucket}`;
  const signature = pairsIn(uri.query || variables['AZURE_STORAGE_SAS_TOKEN'] || '');
  const credentials = new Renewable(async () => await azureCredentials(uri, variables, ask));
  const request = (path: string, query: StoreRequest['query']): StoreRequest => ({
    ...{ origin, path, query: [...query, ...signature], headers: { 'x-ms-version': VERSION } },
  });
  return {
    place,
    object: (key) => request(`${root}/${encodeKey(key)}`, []),
    listing: {
      request: (prefix, next) =>
        request(root, [
          ['comp', 'list'],
          ...(next === null ? [] : [['marker', next] as const]),
          ['prefix', prefix],
          ['restype', 'container'],
        ]),
      parse: parseBlobList,
    },
    sign: async (plain) => {
      if (signature.length > 0) return plain.headers;
      const { key, token } = await credentials.get();
      if (token !== null) return { ...plain.headers, authorization: `Bearer ${token}` };
      return key === null ? plain.headers : signAzure(plain, { key, nowMs: Date.now() });
    },
    ...(signature.length === 0 ? {} : { presign: async (plain: StoreRequest) => plain }),
    renew: async (askedAtMs) => signature.length === 0 && (await credentials.renew(askedAtMs)),
    hint: (status) => hint(status, signature.length > 0, credentials.held?.origin ?? null),
  };
}

/** Azure answers 404 or 409 to those who may not know that a container is there. */
function hint(status: number, isSigned: boolean, origin: string | null): string {
  if (![401, 403, 404, 409].includes(status)) return '';
  if (isSigned) return 'asked with a shared access signature, which may have run out';
  return origin === null
    ? 'no credentials were found: set AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN in the environment of the head, or TRITON_CLOUD_CREDENTIAL_PATH'
    : `asked with ${origin}`;
}

/** A plus sign is itself there, as Azure writes signatures. */
function pairsIn(query: string): readonly (readonly [string, string])[] {
  const parts = query.replace(/^\?/, '').split('&');
  return parts
    .filter((part) => part !== '')
    .map((part) => {
      const [name = '', ...value] = part.split('=');
      return [decoded(name), decoded(value.join('='))] as const;
    });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a percent sign that escapes nothing is itself
  }
}
