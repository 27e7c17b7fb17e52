import { createHash, createHmac } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { canonicalJson } from './json.ts';

/** SHA-256 in hex. */
export function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/** SHA-256 in hex over the canonical JSON of a value: the same for equal values, whatever their key order. */
export function hashOf(value: unknown): string {
  return sha256(canonicalJson(value));
}

/** SHA-256 in hex of a file, read as a stream. */
export async function sha256OfFile(path: string): Promise<string> {
  const digest = createHash('sha256');
  await pipeline(createReadStream(path), digest);
  return digest.digest('hex');
}

/** HMAC-SHA-256 in hex of a label under a secret: one secret gives independent keys, each of which can be handed out alone. */
export function deriveKey(secret: string, label: string): string {
  return createHmac('sha256', secret).update(label).digest('hex');
}
