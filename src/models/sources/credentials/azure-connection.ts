import type { Variables } from '../../../config/environment.ts';
import { SourceError } from '../types.ts';

/** What a connection string says of an account, as Azure's portal shows it. */
export interface AzureConnection {
  readonly account: string;
  /** in base64; '' for none */
  readonly key: string;
  /** a shared access signature, without its question mark; '' for none */
  readonly signature: string;
  /** origin of its blobs, where it is not the usual one */
  readonly endpoint: string | null;
}

const NAME = 'AZURE_STORAGE_CONNECTION_STRING';

/**
 * What `AZURE_STORAGE_CONNECTION_STRING` says: `AccountName=…;AccountKey=…`, or `BlobEndpoint=…;SharedAccessSignature=…`.
 * @returns null where it is not set, and where it is that of another account
 * @throws SourceError SOURCE_CREDENTIALS for what is none; never with its text, which is secret
 */
export function connectionOf(account: string, variables: Variables): AzureConnection | null {
  const text = variables[NAME] || '';
  if (text === '') return null;
  const fields = new Map(
    text
      .split(';')
      .filter((part) => part.trim() !== '')
      .map((part) => {
        const [name = '', ...value] = part.split('=');
        return [name.trim().toLowerCase(), value.join('=').trim()] as const;
      }),
  );
  const field = (name: string): string => fields.get(name) ?? '';
  const key = field('accountkey');
  const signature = field('sharedaccesssignature').replace(/^\?/, '');
  const endpoint = endpointIn(field);
  const named = field('accountname') || accountIn(endpoint);
  if (named === '' || (key === '' && signature === '')) {
    throw new SourceError(
      `${NAME}: expected AccountName=…;AccountKey=…, or BlobEndpoint=…;SharedAccessSignature=…, found neither`,
      { code: 'SOURCE_CREDENTIALS' },
    );
  }
  return named === account ? { account, key, signature, endpoint } : null;
}

/** @returns null for the usual one */
function endpointIn(field: (name: string) => string): string | null {
  const given = field('blobendpoint');
  if (given !== '') {
    if (URL.canParse(given) && /^https?:/.test(given)) return new URL(given).href.replace(/\/+$/, '');
    throw new SourceError(`${NAME}: expected an address as BlobEndpoint, found none`, {
      code: 'SOURCE_CREDENTIALS',
    });
  }
  const suffix = field('endpointsuffix');
  if (suffix === '' || field('accountname') === '') return null;
  const scheme = field('defaultendpointsprotocol') === 'http' ? 'http' : 'https';
  return `${scheme}://${field('accountname')}.blob.${suffix}`;
}

/** A store of one's own has the account in its path, Azure in front of its host. */
function accountIn(endpoint: string | null): string {
  if (endpoint === null) return '';
  const { pathname, hostname } = new URL(endpoint);
  return pathname.split('/')[1] || hostname.replace(/\.blob\..*$/, '').replace(/^.*\..*$/, '');
}
