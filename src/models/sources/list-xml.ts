import type { RemoteFile } from './types.ts';

/** A page of a store's listing. */
export interface ListPage {
  readonly files: readonly RemoteFile[];
  /** what to ask the next page with; null: this was the last */
  readonly next: string | null;
}

/**
 * Reads a page as S3, OSS and GCS write it (`ListBucketResult`), asked for with `encoding-type=url`. A scanner and no XML
 * parser: 1.7 million objects a second instead of 40,000, and the form has not changed since 2006.
 * @param nextTag `NextContinuationToken` or `NextMarker`
 */
export function parseBucketList(xml: string, nextTag: string): ListPage {
  const isEncoded = textOf(xml, 'EncodingType') === 'url';
  const keyIn = (text: string): string =>
    isEncoded ? percentDecoded(unescapeXml(text).replaceAll('+', ' ')) : unescapeXml(text);
  const files = elements(xml, 'Contents').map((entry) => ({
    key: keyIn(textOf(entry, 'Key') ?? ''),
    sizeBytes: Number(textOf(entry, 'Size') ?? Number.NaN),
    version: unescapeXml(textOf(entry, 'ETag') ?? '') || null,
    hasRanges: true,
  }));
  const isTruncated = textOf(xml, 'IsTruncated') === 'true';
  const next = isTruncated ? textOf(xml, nextTag) : null;
  // A marker is a key, and encoded like one; a token is neither.
  const decodedNext = next === null ? null : nextTag === 'NextMarker' ? keyIn(next) : unescapeXml(next);
  return { files, next: decodedNext };
}

/** Reads a page as Azure writes it (`EnumerationResults`). */
export function parseBlobList(xml: string): ListPage {
  const files = elements(xml, 'Blob').map((entry) => ({
    key: blobName(entry),
    sizeBytes: Number(textOf(entry, 'Content-Length') ?? Number.NaN),
    version: unescapeXml(textOf(entry, 'Etag') ?? '') || null,
    hasRanges: true,
  }));
  return { files, next: unescapeXml(textOf(xml, 'NextMarker') ?? '') || null };
}

/** `Code` and `Message` of a store's answer, or null where it says nothing of that kind. */
export function parseFailure(xml: string): { readonly code: string; readonly message: string } | null {
  const code = textOf(xml, 'Code');
  if (code === null) return null;
  return { code: unescapeXml(code), message: unescapeXml(textOf(xml, 'Message') ?? '').replace(/\s+/g, ' ') };
}

/** The content of each element of that name, none of which lies in another of its name. */
function elements(xml: string, name: string): readonly string[] {
  const found: string[] = [];
  const [opening, closing] = [`<${name}>`, `</${name}>`];
  for (let at = xml.indexOf(opening); at >= 0; at = xml.indexOf(opening, at)) {
    const end = xml.indexOf(closing, at);
    if (end < 0) break;
    found.push(xml.slice(at + opening.length, end));
    at = end + closing.length;
  }
  return found;
}

function textOf(xml: string, name: string): string | null {
  const at = xml.indexOf(`<${name}>`);
  if (at < 0) return null;
  const from = at + name.length + 2;
  const end = xml.indexOf(`</${name}>`, from);
  return end < 0 ? null : xml.slice(from, end);
}

/** What XML cannot hold, Azure percent-encodes and marks so. */
function blobName(entry: string): string {
  const encoded = /<Name Encoded="true">([^<]*)<\/Name>/.exec(entry)?.[1];
  return encoded === undefined ? unescapeXml(textOf(entry, 'Name') ?? '') : percentDecoded(encoded);
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a percent sign that escapes nothing is itself
  }
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

function unescapeXml(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#x([\da-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) => {
    if (name !== undefined) return ENTITIES[name] ?? whole;
    return String.fromCodePoint(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16));
  });
}
