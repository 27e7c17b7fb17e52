import { codeOf, messageOf } from '../../lib/errors.ts';

const UNKNOWN_ISSUER =
  /^(?:SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT.*)$/;
const OTHER_CERTIFICATE = /^(?:CERT_|CRL_|ERR_TLS_CERT|HOSTNAME_MISMATCH)/;
const NO_TLS = /^(?:EPROTO|ERR_SSL_|ERR_TLS_)/;
const NO_HTTP = /^HPE_/;

/**
 * Why there can be no talk with what answers, and what to do: it is not believed, or speaks something else. Another try
 * finds the same.
 * @param trusted where a file with certificates is named
 * @returns null for all other failures
 */
export function noConversation(error: unknown, trusted: string): string | null {
  const code = codeOf(error) ?? '';
  const words = spoken(messageOf(error));
  if (UNKNOWN_ISSUER.test(code)) {
    return `its certificate is signed by somebody who is not known here (${words}); name a file with the signer's certificate as ${trusted}`;
  }
  if (OTHER_CERTIFICATE.test(code)) return `its certificate does not hold (${words})`;
  if (NO_TLS.test(code)) return `it does not answer as https servers do (${words}); is it an http server?`;
  if (NO_HTTP.test(code) || isParsing(error))
    return `it does not answer as http servers do (${words}); is it an https server?`;
  return null;
}

/** Its codes come and go with the parser's build. */
function isParsing(error: unknown): boolean {
  return error instanceof Error && error.name === 'HTTPParserError';
}

/** Of `80…:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../deps/…:` what people can read. */
function spoken(words: string): string {
  const [, reason = words] = /:error:[0-9A-F]+:[^:]*:[^:]*:([^:]+):/.exec(words) ?? [];
  return reason.trim();
}
