import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { canonicalJson } from './json.ts';

/** SHA-256 in hex. */
export function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/** SHA-256 in hex over the canonical JSON of a value: the same for equal values, whatever their key order. */
export function hashOf(value: unknown): string {
  return sha256(canonicalJson(value));
}

/** HMAC-SHA-256 in hex of a label under a secret: one secret gives independent keys, each of which can be handed out alone. */
export function deriveKey(secret: string, label: string): string {
  return createHmac('sha256', secret).update(label).digest('hex');
}

/** Whether two secrets are equal, in a time that says nothing of where they differ. */
export function isSameSecret(given: string, expected: string): boolean {
  // Hashed first, so that the lengths are equal.
  return timingSafeEqual(Buffer.from(sha256(given)), Buffer.from(sha256(expected)));
}

/** The key in an `authorization: Bearer …` header, '' where there is none. */
export function bearerKey(authorization: string | undefined): string {
  return /^Bearer (.+)$/.exec(authorization ?? '')?.[1] ?? '';
}
