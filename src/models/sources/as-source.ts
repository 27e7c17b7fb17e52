import type { Variables } from '../../config/environment.ts';
import type { ModelUri } from '../../config/model-uri.ts';
import { type AzureConnection, connectionOf } from './credentials/azure-connection.ts';
import { azureCredentials } from './credentials/azure-credentials.ts';
import { Renewable } from './credentials/renewable.ts';
import { parseBlobList } from './list-xml.ts';
import { presignAzure } from './presign.ts';
import type { Dialect, SourceContext } from './remote-source.ts';
import { encodeKey, type StoreRequest } from './requests.ts';
import { signAzure } from './sign-azure.ts';
import { SourceError } from './types.ts';

/** Of Azure's protocol; tokens of Entra ID and `If-Match` for ranges need 2017 or later. */
const VERSION = '2020-10-02';

/**
 * A container of Azure Blob Storage: with a shared access signature (in the URI, else in the environment), an account's
 * key, or a token; without any of them as anybody.
 */
export function asDialect(uri: ModelUri, { variables, ask, environment }: SourceContext): Dialect {
  const { account, bucket } = uri;
  const connection = connectionOf(account, variables);
  const place = `as://${uri.endpoint === null ? '' : `${uri.endpoint}/`}${account}/${bucket}/`;
  const { origin, root } = addressOf(uri, connection?.endpoint ?? null);
  const signature = pairsIn(signatureFor(uri, variables, connection));
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
    presign: async (plain) => {
      if (signature.length > 0) return plain;
      const { key, token } = await credentials.get();
      if (token !== null) throw unsignable(place, credentials.held?.origin ?? '');
      const blob = `/${bucket}${decodeURIComponent(plain.path.slice(root.length))}`;
      return key === null ? plain : presignAzure(plain, { key, blob, version: VERSION, nowMs: Date.now() });
    },
    renew: async (askedAtMs) => signature.length === 0 && (await credentials.renew(askedAtMs)),
    hint: (status) => {
      // It answers 404 or 409 to those who may not know that a container is there.
      if (![401, 403, 404, 409].includes(status)) return '';
      if (signature.length > 0) return 'asked with a shared access signature, which may have run out';
      const asked = credentials.held?.origin ?? null;
      return asked === null
        ? `no credentials were found: set AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN in ${environment}, or TRITON_CLOUD_CREDENTIAL_PATH`
        : `asked with ${asked}`;
    },
  };
}

/** @param endpoint of a connection string, with the account in its path where that is not in its host */
function addressOf(
  { account, bucket, endpoint: own }: ModelUri,
  endpoint: string | null,
): { readonly origin: string; readonly root: string } {
  if (own !== null) {
    const isAccountsHost = new URL(own).host.startsWith(`${account}.blob.`);
    return { origin: own, root: `${isAccountsHost ? '' : `/${account}`}/${bucket}` };
  }
  const { origin, pathname } = new URL(endpoint ?? `https://${account}.blob.core.windows.net`);
  return { origin, root: `${pathname.replace(/\/$/, '')}/${bucket}` };
}

/** What says who asks without a signature, and goes before that of a connection string. */
const OTHER_WAYS = [
  ...['TRITON_CLOUD_CREDENTIAL_PATH', 'AZURE_STORAGE_KEY', 'AZURE_STORAGE_ACCESS_KEY'],
  'AZURE_STORAGE_AUTH_TYPE',
];

/** @returns '' where requests carry no shared access signature */
function signatureFor(uri: ModelUri, variables: Variables, connection: AzureConnection | null): string {
  const given = uri.query || variables['AZURE_STORAGE_SAS_TOKEN'] || '';
  const isLast = connection?.key === '' && OTHER_WAYS.every((name) => !variables[name]);
  return given || (isLast ? connection.signature : '');
}

/** Signing for such a one takes a key that Azure lends for it, which nobody has asked for yet. */
function unsignable(place: string, origin: string): SourceError {
  return new SourceError(
    `${place}: addresses are signed with an account's key, and cannot be with ${origin}: set AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or unset TRITON_DRAGONFLY_CONFIG_PATH`,
    { code: 'SOURCE_CREDENTIALS' },
  );
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
