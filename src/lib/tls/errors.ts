import { codeOf } from '../errors.ts';

/** What went wrong of a handshake: of a certificate (codes of OpenSSL), or since the other end speaks no TLS. */
export function isTlsError(error: unknown): boolean {
  return /^(?:ERR_TLS_|ERR_SSL_|EPROTO$|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_)/.test(codeOf(error) ?? '');
}

/** The certificate of the other end is signed by nobody who is trusted here, or the other way round. */
export function isUntrusted(error: unknown): boolean {
  return /^(?:UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|ERR_SSL_TLSV1_ALERT_UNKNOWN_CA)/.test(
    codeOf(error) ?? '',
  );
}

/** The certificate of the other end has ended, or is not good yet, by the clock of this machine. */
export function isOutOfTime(error: unknown): boolean {
  return /^CERT_(?:HAS_EXPIRED|NOT_YET_VALID)$/.test(codeOf(error) ?? '');
}

/** What to do about that. */
export const OUT_OF_TIME =
  'are the clocks of both machines right? A node signs its own anew when it is started; one that was given (--tls-cert) is its owner’s to replace.';
