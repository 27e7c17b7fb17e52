import { type RemoteFile, SourceError } from './types.ts';

/** A page of a store's listing. */
export interface ListPage {
  readonly files: readonly RemoteFile[];
  /** what to ask the next page with; null: this was the last */
  readonly next: string | null;
}

/**
 * Reads a page as S3, OSS and GCS write it (`ListBucketResult`), asked for with `encoding-type=url`. A scanner and no XML
 * parser: 1.8 million objects for a second of CPU instead of 40,000, and the form has not changed since 2006.
 * @param nextTag `NextContinuationToken` or `NextMarker`
 * @throws SourceError SOURCE_ANSWER for what is no listing, or only the beginning of one
 */
export function parseBucketList(xml: string, nextTag: string): ListPage {
  const truncated = textOf(xml, 'IsTruncated');
  const root = /<(\w+)/.exec(xml.slice(0, 1000))?.[1];
  if (truncated === null || !xml.slice(-1000).trimEnd().endsWith(`</${root}>`)) throw noListing();
  const isEncoded = textOf(xml, 'EncodingType') === 'url';
  const keyIn = (text: string): string => {
    if (!/[%+&]/.test(text)) return text;
    const plain = unescapeXml(text);
    return isEncoded ? percentDecoded(plain.replaceAll('+', ' ')) : plain;
  };
  const next = truncated === 'true' ? textOf(xml, nextTag) : null;
  // A marker is a key, and encoded like one; a token is neither.
  const decodedNext = next === null ? null : nextTag === 'NextMarker' ? keyIn(next) : unescapeXml(next);
  return { files: scanContents(xml, keyIn), next: decodedNext };
}

/** Looks for positions, and cuts out only what is kept: an entry that is cut out first costs four times as much. */
function scanContents(xml: string, keyIn: (text: string) => string): readonly RemoteFile[] {
  const bytes = Buffer.from(xml, 'utf8');
  const isAscii = bytes.length === xml.length;
  // Copied: a slice would keep the whole page in memory for as long as a key of it lives.
  const cut = (from: number, end: number): string =>
    isAscii ? bytes.toString('latin1', from, end) : xml.slice(from, end);
  const files: RemoteFile[] = [];
  for (let at = xml.indexOf('<Contents>'); at >= 0; ) {
    const end = xml.indexOf('</Contents>', at);
    if (end < 0) throw noListing();
    const key = after('<Key>', xml, at, end);
    const tag = after('<ETag>', xml, at, end);
    const size = after('<Size>', xml, at, end);
    files.push({
      key: key < 0 ? '' : keyIn(cut(key, xml.indexOf('<', key))),
      sizeBytes: size < 0 ? Number.NaN : Number(xml.slice(size, xml.indexOf('<', size))),
      version: tag < 0 ? null : tagIn(cut(tag, xml.indexOf('<', tag))),
      hasRanges: true,
    });
    at = xml.indexOf('<Contents>', end);
  }
  return files;
}

/** Where the content of an element begins; -1: there is none between `from` and `end`. */
function after(opening: string, xml: string, from: number, end: number): number {
  const at = xml.indexOf(opening, from);
  return at < 0 || at > end ? -1 : at + opening.length;
}

function tagIn(text: string): string | null {
  const QUOTE = '&quot;';
  const inner =
    text.startsWith(QUOTE) && text.endsWith(QUOTE) ? text.slice(QUOTE.length, -QUOTE.length) : '&';
  return inner.includes('&') ? unescapeXml(text) || null : `"${inner}"`;
}

function noListing(): SourceError {
  return new SourceError(
    'what the server sent is no whole listing; ask again, or look at what answers there',
    {
      code: 'SOURCE_ANSWER',
    },
  );
}

/**
 * Reads a page as Azure writes it (`EnumerationResults`), whose tags lack the quotes that they have elsewhere. Accounts
 * with a hierarchy list folders among the files, without a slash at the end.
 */
export function parseBlobList(xml: string): ListPage {
  const entries = elements(xml, 'Blob').filter((entry) => textOf(entry, 'ResourceType') !== 'directory');
  const files = entries.map((entry) => ({
    key: blobName(entry),
    sizeBytes: Number(textOf(entry, 'Content-Length') ?? Number.NaN),
    version: quoted(unescapeXml(textOf(entry, 'Etag') ?? '')),
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

function quoted(tag: string): string | null {
  if (tag === '') return null;
  return tag.startsWith('"') ? tag : `"${tag}"`;
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
