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
