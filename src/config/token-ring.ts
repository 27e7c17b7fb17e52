import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { messageOf, ServeError } from '../lib/errors.ts';
import { readIfThere, writeDurably } from '../lib/files.ts';
import { keyIdOf } from './token.ts';

/** The tokens that a node knows, in a file of mode 0600 in its state directory. */
export interface TokenRing {
  /** is shown, and accepted */
  readonly shown: string;
  /** is accepted beside it while the cluster's token is replaced; null: none is */
  readonly other: string | null;
  /** ids of those that are used no more, the newest last: who is still started with one goes on with the one that followed */
  readonly past: readonly string[];
}

const MOST_PAST = 100;
const SEAL_VERSION = 'v1';
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** @returns null where there is none, or none that can be read: the token that is given counts then */
export async function readRing(file: string): Promise<TokenRing | null> {
  const text = await readIfThere(file);
  if (text === null) return null;
  try {
    const ring = JSON.parse(text) as TokenRing;
    return typeof ring.shown === 'string' && Array.isArray(ring.past) ? ring : null;
  } catch {
    return null;
  }
}

export async function writeRing(file: string, ring: TokenRing): Promise<void> {
  await writeDurably(file, JSON.stringify(ring));
}

/**
 * The ring of a node that is started with a token: the one it has where that token is in it or was, else a new one.
 * @returns isOld: the token that was given is used no more
 */
export function ringFor(
  given: string,
  known: TokenRing | null,
): { readonly ring: TokenRing; readonly isOld: boolean } {
  if (known !== null) {
    const isOld = known.past.includes(keyIdOf(given));
    if (isOld || known.shown === given || known.other === given) return { ring: known, isOld };
  }
  return { ring: { shown: given, other: null, past: [] }, isOld: false };
}

/** A ring with other tokens; those that are left out are past. */
export function ringWith(
  ring: TokenRing,
  { shown, other }: { readonly shown: string; readonly other: string | null },
): TokenRing {
  const kept = new Set([shown, other]);
  const left = tokensOf(ring)
    .filter((token) => !kept.has(token))
    .map(keyIdOf);
  const past = [...ring.past.filter((id) => id !== keyIdOf(shown)), ...left];
  return { shown, other, past: past.slice(-MOST_PAST) };
}

/** Those that are accepted, the one that is shown first. */
export function tokensOf({ shown, other }: TokenRing): readonly [string, ...string[]] {
  return other === null ? [shown] : [shown, other];
}

/** A token for whoever has another one (AES-256-GCM, by a key that follows from that one). */
export function sealToken(token: string, by: string): string {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', sealingKey(by), iv);
  const sealed = Buffer.concat([cipher.update(token, 'utf8'), cipher.final()]);
  return `${SEAL_VERSION}.${Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64url')}`;
}

/** @throws ServeError TOKEN_SEAL where it was sealed by another token, or changed since */
export function openSealedToken(sealed: string, by: string): string {
  try {
    const [version, text = ''] = sealed.split('.');
    if (version !== SEAL_VERSION) throw new Error(`expected version ${SEAL_VERSION}, found ${version}`);
    const bytes = Buffer.from(text, 'base64url');
    const decipher = createDecipheriv('aes-256-gcm', sealingKey(by), bytes.subarray(0, IV_BYTES));
    decipher.setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
    const opened = [decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()];
    return Buffer.concat(opened).toString('utf8');
  } catch (cause) {
    throw new ServeError(
      `the new token cannot be opened with the one of this node (${messageOf(cause)})`,
      { code: 'TOKEN_SEAL' },
      { cause },
    );
  }
}

function sealingKey(token: string): Buffer {
  return Buffer.from(hkdfSync('sha256', token, '', 'modelserve token rotation', 32));
}
