import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { codeOf, messageOf, ServeError } from '../errors.ts';

/** Where a certificate lies. */
export interface TlsFiles {
  /** PEM; what lies between it and the authority follows it in the file */
  readonly certFile: string;
  /** PEM, not encrypted */
  readonly keyFile: string;
  /** PEM of one or more authorities: the other end must show a certificate of one of them. null: it need not show any */
  readonly caFile: string | null;
}

/** What the files hold. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly ca: string | null;
}

/** People need some days for a new one. A node renews its own long before. */
const END_NEAR_MS = 14 * 24 * 3_600_000;

/**
 * @param nowMs when it must be good; null: at any time
 * @throws ServeError TLS_FILE naming the file and what is wrong: it cannot be read, is no PEM, has ended or is not good
 * yet; the key is not that of the certificate, or is encrypted
 */
export async function readTlsFiles(files: TlsFiles, nowMs: number | null): Promise<TlsMaterial> {
  const [cert, key, ca] = await Promise.all([
    readPem(files.certFile, 'certificate'),
    readPem(files.keyFile, 'key'),
    files.caFile === null ? null : readPem(files.caFile, 'authority'),
  ]);
  const leaf = certificateIn(cert, files.certFile);
  if (ca !== null && files.caFile !== null) certificateIn(ca, files.caFile);
  const name = nameOf(leaf);
  if (nowMs !== null && Date.parse(leaf.validTo) < nowMs)
    throw tlsError(endText(leaf, files.certFile, nowMs));
  if (nowMs !== null && Date.parse(leaf.validFrom) > nowMs) {
    throw tlsError(
      `the certificate in ${files.certFile} (${name}) is good from ${leaf.validFrom} on only: is this machine's clock right?`,
    );
  }
  if (!isKeyOf(leaf, key, files.keyFile)) {
    throw tlsError(
      `the key in ${files.keyFile} is not that of the certificate in ${files.certFile} (${name}): the certificate itself must come first in its file`,
    );
  }
  return { cert, key, ca };
}

/**
 * What to tell people of a certificate that has ended, or does before long; null: it is good for a while.
 * @param cert PEM
 * @param file where it lies
 */
export function endNote(cert: string, file: string, nowMs: number): string | null {
  const leaf = new X509Certificate(cert);
  return isEndNear(Date.parse(leaf.validTo), nowMs) ? endText(leaf, file, nowMs) : null;
}

export function isEndNear(endMs: number, nowMs: number): boolean {
  return endMs - nowMs < END_NEAR_MS;
}

function endText(leaf: X509Certificate, file: string, nowMs: number): string {
  const ends = Date.parse(leaf.validTo) < nowMs ? 'ended' : 'ends';
  return `the certificate in ${file} (${nameOf(leaf)}) ${ends} on ${leaf.validTo}: put a new one there`;
}

async function readPem(file: string, what: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw tlsError(`the ${what} in ${file} cannot be read (${codeOf(cause) ?? messageOf(cause)})`, cause);
  }
  if (text.includes('-----BEGIN ')) return text;
  const found = text.trim() === '' ? 'it is empty' : 'it is something else';
  throw tlsError(`${file} holds no ${what}: expected PEM (-----BEGIN …), and ${found}`);
}

function certificateIn(pem: string, file: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    const block = /-----BEGIN ([^-]+)-----/.exec(pem)?.[1] ?? 'nothing';
    throw tlsError(`${file} holds no certificate first: found ${block} (${messageOf(cause)})`, cause);
  }
}

function isKeyOf(leaf: X509Certificate, key: string, file: string): boolean {
  try {
    return leaf.checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    const isEncrypted = key.includes('ENCRYPTED');
    const remedy = isEncrypted
      ? 'it has a passphrase: remove it (openssl pkey -in … -out …)'
      : messageOf(cause);
    throw tlsError(`the key in ${file} cannot be used: ${remedy}`, cause);
  }
}

/** How people call a certificate. */
function nameOf(leaf: X509Certificate): string {
  const names = leaf.subjectAltName?.replace(/(?:DNS|IP Address):/g, '');
  return names ?? (leaf.subject.replaceAll('\n', ', ') || 'without a name');
}

function tlsError(message: string, cause?: unknown): ServeError {
  return new ServeError(message, { code: 'TLS_FILE' }, cause === undefined ? {} : { cause });
}
