import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { PemPair } from './authority.ts';

export interface Wanted {
  /** host names and addresses that the certificate must be good for; it may be for more */
  readonly names: readonly string[];
  /** PEM of the authority that must have signed it */
  readonly authority: string;
}

/** Signed a little in the past: the clocks of two machines differ. */
const BACKDATED_MS = 24 * 3_600_000;
const LIFE_MS = 365 * 24 * 3_600_000;
/** With a third of its life left: an ingress that nobody has been the agent of for months serves on. */
const RENEWED_BEFORE_END_MS = LIFE_MS / 3;

/** From when until when a certificate is good that is issued now. */
export function lifeFrom(nowMs: number): { readonly fromMs: number; readonly toMs: number } {
  return { fromMs: nowMs - BACKDATED_MS, toMs: nowMs + LIFE_MS };
}

/** Whether a file of certificates holds these and no others, by their keys: an authority's signature is another each time. */
export function holdsAuthorities(bundle: string, authorities: readonly string[]): boolean {
  const pems = bundle.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  const held = pems.map(parsed);
  return (
    held.length === authorities.length &&
    authorities.every((pem, at) => held[at]?.publicKey.equals(new X509Certificate(pem).publicKey) ?? false)
  );
}

/**
 * Why a certificate of one's own must be issued anew.
 * @param present null: there is none; its key may be another's where a start was cut off between the two files
 * @returns for the log; null: it is good for a while
 */
export function whyRenew(present: PemPair | null, wanted: Wanted, nowMs: number): string | null {
  if (present === null) return 'there is none';
  const leaf = parsed(present.cert);
  if (leaf === null) return 'it cannot be read';
  if (!isKeyOf(leaf, present.key)) return 'it is not of its key';
  const authority = new X509Certificate(wanted.authority);
  if (!leaf.checkIssued(authority) || !leaf.verify(authority.publicKey)) return 'it is of another token';
  if (Date.parse(leaf.validFrom) > nowMs) return 'it is not good yet: the clock was set back';
  if (Date.parse(leaf.validTo) - nowMs < RENEWED_BEFORE_END_MS) return `it ends on ${leaf.validTo}`;
  const missing = wanted.names.filter((name) => !isFor(leaf, name));
  return missing.length === 0 ? null : `it is not for ${missing.join(', ')}`;
}

/** Whether a certificate names a host or an address. */
function isFor(leaf: X509Certificate, name: string): boolean {
  const found = isIP(name) === 0 ? leaf.checkHost(name, { subject: 'never' }) : leaf.checkIP(name);
  return found !== undefined;
}

function isKeyOf(leaf: X509Certificate, key: string): boolean {
  try {
    return leaf.checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

function parsed(pem: string): X509Certificate | null {
  try {
    return new X509Certificate(pem);
  } catch {
    return null;
  }
}
