import { createHmac } from 'node:crypto';
import type { StoreRequest } from './requests.ts';

export interface AzureKey {
  readonly account: string;
  /** in base64, as Azure shows it */
  readonly key: string;
}

/** What of a request's headers has a line of its own in the text that is signed, in this order. */
const SIGNED_HEADERS = [
  ...['content-encoding', 'content-language', 'content-length', 'content-md5', 'content-type', 'date'],
  ...['if-modified-since', 'if-match', 'if-none-match', 'if-unmodified-since', 'range'],
];

/** Signs a GET with an account's shared key. @returns the headers to send, those of the request among them */
export function signAzure(
  request: StoreRequest,
  { key: { account, key }, nowMs }: { readonly key: AzureKey; readonly nowMs: number },
): Record<string, string> {
  const headers: Record<string, string> = {
    ...request.headers,
    'x-ms-date': new Date(nowMs).toUTCString(),
  };
  const own = Object.entries(headers)
    .filter(([name]) => name.startsWith('x-ms-'))
    .map(([name, value]) => `${name}:${value.trim()}`)
    .sort();
  const query = request.query.map(([name, value]) => `${name.toLowerCase()}:${value}`).sort();
  // The path has the account in it once more where the server is one of one's own.
  const resource = [`/${account}${request.path}`, ...query];
  const text = ['GET', ...SIGNED_HEADERS.map((name) => headers[name] ?? ''), ...own, ...resource].join('\n');
  const signature = createHmac('sha256', Buffer.from(key, 'base64')).update(text).digest('base64');
  return { ...headers, authorization: `SharedKey ${account}:${signature}` };
}
