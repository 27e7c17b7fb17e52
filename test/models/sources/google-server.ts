import { createVerify, type KeyObject } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';

/** Whether a request for a token is signed with the account's key, or holds the refresh token `refresh`. */
export async function isGranted(
  request: IncomingMessage,
  account: { readonly publicKey: KeyObject; readonly email: string },
): Promise<boolean> {
  const form = new URLSearchParams(await text(request));
  if (form.get('grant_type') === 'refresh_token') return form.get('refresh_token') === 'refresh';
  const [head = '', claims = '', signature = ''] = (form.get('assertion') ?? '').split('.');
  const { iss, aud, iat, exp } = JSON.parse(Buffer.from(claims, 'base64url').toString());
  const isSigned = createVerify('RSA-SHA256')
    .update(`${head}.${claims}`)
    .verify(account.publicKey, signature, 'base64url');
  const isMeant = new URL(aud).pathname === request.url;
  return isSigned && iss === account.email && isMeant && exp - iat === 3_600;
}
