import type { AccessKey } from '../sign-s3.ts';
import { SourceError } from '../types.ts';
import type { Lease } from './renewable.ts';
import { objectIn } from './token-answer.ts';

/** Whose key requests to S3 are signed with. */
export interface AwsCredentials {
  /** null: none were found, and nothing is signed */
  readonly key: AccessKey | null;
  /** where the key is from, for messages; '' for none */
  readonly origin: string;
}

export type AwsLease = Lease<AwsCredentials>;

/** A key that holds until it is refused. @throws SourceError SOURCE_CREDENTIALS for half a key; @returns null for none */
export function keyIn(
  values: Readonly<Record<string, string | undefined>>,
  [idName, secretName, tokenName]: readonly [id: string, secret: string, token: string],
  origin: string,
): AwsLease | null {
  const [id, secret] = [values[idName], values[secretName]];
  if (!id && !secret) return null;
  if (id && secret) {
    return {
      value: { key: { id, secret, sessionToken: values[tokenName] || null }, origin },
      endsAtMs: null,
    };
  }
  const [given, missing] = id ? [idName, secretName] : [secretName, idName];
  throw unusable(origin, `${idName} and ${secretName}, or none of them`, `${given} and no ${missing}`);
}

/**
 * A key as metadata servers and helper programs give it: `AccessKeyId`, `SecretAccessKey`, `Token` or `SessionToken`,
 * `Expiration`.
 * @returns null when it is none
 */
export function keyInJson(text: string, origin: string): AwsLease | null {
  const answer = objectIn(text);
  const [id, secret] = [answer['AccessKeyId'], answer['SecretAccessKey']];
  if (typeof id !== 'string' || typeof secret !== 'string') return null;
  const token = answer['Token'] ?? answer['SessionToken'];
  const endsAtMs = Date.parse(String(answer['Expiration'] ?? ''));
  return {
    value: { key: { id, secret, sessionToken: typeof token === 'string' ? token : null }, origin },
    endsAtMs: Number.isNaN(endsAtMs) ? null : endsAtMs,
  };
}

export function unusable(place: string, expected: string, found: string): SourceError {
  return new SourceError(`${place}: expected ${expected}, found ${found}`, { code: 'SOURCE_CREDENTIALS' });
}
