const HIDDEN = '[hidden]';

/** Names of settings whose values are nobody's business, in whatever spelling. */
const SECRET_NAME =
  /(?:token|secret|passw(?:or)?d|api[_-]?keys?|access[_-]?key|account[_-]?key|private[_-]?key|credentials?|authorization|cookie)/i;

/**
 * A text without what looks like a secret: modelserve's own keys, passwords in addresses, signed queries, bearer and basic
 * headers, private keys, and the values of settings (`name = value`, `"name": "value"`) whose names say that they are secret.
 * What is left is fit for a bug report; whoever sends it still looks at it.
 */
export function redact(text: string): string {
  return text
    .replace(/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, HIDDEN)
    .replace(/\bms[tarlcmv]_[\w-]{16,}/g, HIDDEN)
    .replace(/(\b[a-z][a-z0-9+.-]{0,30}:\/\/)[^\s/@"']+@/gi, `$1${HIDDEN}@`)
    .replace(/\b(Bearer|Basic)\s+[\w.~+/=-]{6,}/gi, `$1 ${HIDDEN}`)
    .replace(
      /([?&][^=&\s"'#]*(?:signature|credential|token|key|sig|secret)[^=&\s"'#]*=)[^&\s"'#]+/gi,
      `$1${HIDDEN}`,
    )
    .replace(
      /^([ \t]*)([\w.-]+)([ \t]*[=:][ \t]*)(\S.*)$/gm,
      (line, indent: string, name: string, sign: string) =>
        SECRET_NAME.test(name) ? `${indent}${name}${sign}${HIDDEN}` : line,
    )
    .replace(/("([\w.-]+)"\s*:\s*)"(?:[^"\\]|\\.)*"/g, (pair, start: string, name: string) =>
      SECRET_NAME.test(name) ? `${start}"${HIDDEN}"` : pair,
    );
}

/**
 * The same for a document of JSON, or for lines of it: texts inside are looked at as what they are, without the escapes
 * that would hide their lines. What is no JSON is looked at as text.
 */
export function redactDocument(text: string): string {
  const whole = parsed(text);
  if (whole !== undefined) return JSON.stringify(redactValue(whole), null, 2);
  const lines = text.split('\n').map((line) => {
    const value = line.startsWith('{') ? parsed(line) : undefined;
    return value === undefined ? line : JSON.stringify(redactValue(value));
  });
  return redact(lines.join('\n'));
}

function redactValue(value: unknown): unknown {
  if (typeof value === 'string') return redact(value);
  if (Array.isArray(value)) return value.map(redactValue);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      typeof inner === 'string' && SECRET_NAME.test(name) ? HIDDEN : redactValue(inner),
    ]),
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
