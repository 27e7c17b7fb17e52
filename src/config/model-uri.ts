import { readImageReference } from './image-reference.ts';
import { didYouMean } from './nearest.ts';

/** Servers that give files. */
const FILE_SCHEMES = ['s3', 'oss', 'gs', 'as', 'http', 'https'] as const;
type FileScheme = (typeof FILE_SCHEMES)[number];
/** Registries, which give images. KServe's ways to get at one are the same here. */
const IMAGE_SCHEMES = ['oci', 'oci+modelcar', 'oci+native', 'oci+fetch'] as const;
type ImageScheme = (typeof IMAGE_SCHEMES)[number];
/** Where models can be fetched from, beside Model_ZOO. */
const MODEL_SCHEMES = [...FILE_SCHEMES, ...IMAGE_SCHEMES];

interface Address<Scheme> {
  /** as written: names the model in messages once `publicUri` has taken the query off */
  readonly text: string;
  readonly scheme: Scheme;
  /** origin of a store of one's own (`http://127.0.0.1:9000`), or of the web server; null: the provider's */
  readonly endpoint: string | null;
  /** of Azure, whose containers are named within accounts; '' for all others */
  readonly account: string;
  /** bucket or container; '' for a web server; the host of a registry */
  readonly bucket: string;
  /** without a slash at the start; one at the end says that it is a folder. For a web server the path as it is sent, for an image its repository */
  readonly key: string;
  /** with its question mark; '' for none */
  readonly query: string;
  /** the last segment (of an archive without `.tar.gz`): what user code joins to the model folder's path */
  readonly localName: string;
  /** `unpack+https://…`: one file, of which the model is what it holds */
  readonly isArchive: boolean;
}

/** A model on a web server or in an object store, as conf.ini names it. */
export type FileUri = Address<FileScheme>;
/** A model that is an image in a registry. */
export type ImageUri = Address<ImageScheme>;
export type ModelUri = FileUri | ImageUri;

export type ModelUriReading =
  | { readonly ok: true; readonly uri: ModelUri }
  | { readonly ok: false; readonly hint: string };

const SCHEME = /^([a-z][a-z0-9+.-]*):\/\//i;

/** Whether an entry of `model` is a URI, right or wrong, and no name below Model_ZOO. */
export function isModelUri(entry: string): boolean {
  return SCHEME.test(entry);
}

/** A URI for messages and logs: without the query, which may hold a signature. */
export function publicUri(entry: string): string {
  return entry.replace(/\?.*$/s, '');
}

/** The name below the model folder under which user code finds what an entry of `model` names. */
export function localModelName(entry: string): string {
  const reading = isModelUri(entry) ? readModelUri(entry) : null;
  return reading?.ok ? reading.uri.localName : entry;
}

/** An image comes whole; what else there is comes file by file. */
export function isImageUri(uri: ModelUri): uri is ImageUri {
  return IMAGE_SCHEMES.some((scheme) => scheme === uri.scheme);
}

const UNPACK = /^unpack\+/i;
const ARCHIVE_ENDING = /\.(?:tar|tgz|tar\.(?:gz|zst))$/i;

/** A URI as it is without `unpack+`. */
export function withoutUnpack(text: string): string {
  return text.replace(UNPACK, '');
}

/** Reads a URI; what is wrong with it is in the hint. In a store's URI `%2C` stands for a comma, and nothing else is escaped. */
export function readModelUri(text: string): ModelUriReading {
  const reading = readPlain(withoutUnpack(text));
  if (!reading.ok || !UNPACK.test(text)) return reading;
  const { uri } = reading;
  const what = isImageUri(uri) ? 'an image' : uri.key === '' || uri.key.endsWith('/') ? 'a folder' : null;
  if (what !== null) return refuse(`"${publicUri(text)}": "unpack+" is for one archive, and this is ${what}`);
  const localName = uri.localName.replace(ARCHIVE_ENDING, '') || uri.localName;
  return { ok: true, uri: { ...uri, text, localName, isArchive: true } };
}

function readPlain(text: string): ModelUriReading {
  const scheme = schemeOf(text);
  const rest = text.slice(scheme.length + 3);
  const image = IMAGE_SCHEMES.find((one) => one === scheme);
  if (image !== undefined) return readImage(text, image, rest);
  const known = FILE_SCHEMES.find((one) => one === scheme);
  const shown = `"${publicUri(text)}"`;
  if (known === undefined) {
    const meant = didYouMean(scheme, [...MODEL_SCHEMES, ...FILE_SCHEMES.map((one) => `unpack+${one}`)]);
    const there = `there are ${MODEL_SCHEMES.join(', ')}`;
    return refuse(`${shown}: there is no scheme "${scheme}"; ${`${meant} ${there}`.trim()}`);
  }
  if (/\s/.test(text) && known.startsWith('http')) {
    return refuse(`${shown}: a space in an address is written %20`);
  }
  return known === 'http' || known === 'https' ? readWeb(text, known) : readStore(text, known, rest);
}

function readWeb(text: string, scheme: 'http' | 'https'): ModelUriReading {
  const shown = `"${publicUri(text)}"`;
  if (!URL.canParse(text)) return refuse(`${shown} is no address of a file on a web server`);
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') {
    return refuse(`"${scheme}://…@${url.host}${url.pathname}": a name or password cannot stand in conf.ini`);
  }
  const segment = url.pathname.split('/').at(-1) ?? '';
  const localName = safeName(decoded(segment));
  if (localName === null) return refuse(`${shown} has to end in the name of a file`);
  return {
    ok: true,
    uri: {
      ...{ text, scheme, localName, account: '', bucket: '', isArchive: false },
      endpoint: url.origin,
      key: url.pathname.slice(1),
      query: url.search,
    },
  };
}

/** `oci://host:port/name:tag`. The model is called like the image, whatever its tag. */
function readImage(text: string, scheme: ImageScheme, rest: string): ModelUriReading {
  const reading = readImageReference(rest);
  if (!reading.ok) return refuse(`"${scheme}://${rest.replace(/^.*@(?!sha256:)/, '…@')}" ${reading.hint}`);
  const { registry, repository } = reading.image;
  const localName = repository.split('/').at(-1) ?? repository;
  return {
    ok: true,
    uri: {
      ...{ text, scheme, localName, key: repository, isArchive: false },
      endpoint: null,
      account: '',
      bucket: registry,
      query: '',
    },
  };
}

/** `s3://bucket/key`, or `s3://http://host:port/bucket/key` with a store of one's own. */
function readStore(
  text: string,
  scheme: Exclude<FileScheme, 'http' | 'https'>,
  rest: string,
): ModelUriReading {
  const { account, bucket, query, ...split } = scheme === 'as' ? splitAzure(rest) : splitBucket(rest);
  const { endpoint } = split;
  const key = split.key
    .replace(/\/{2,}/g, '/')
    .replace(/^\//, '')
    .replace(/%2C/gi, ',');
  const localName = safeName(key.replace(/\/$/, '').split('/').at(-1) || bucket);
  const mistake =
    scheme === 'as' && !/^[\w-]+$/.test(account)
      ? `names the account "${account}"; expected as://ACCOUNT/CONTAINER/PATH`
      : mistakeInStore(endpoint, bucket, key);
  if (mistake !== null || localName === null) {
    return refuse(`"${publicUri(text)}" ${mistake ?? 'has to end in the name of a file or folder'}`);
  }
  const address = { endpoint, account, bucket, key, query };
  return { ok: true, uri: { text, scheme, ...address, localName, isArchive: false } };
}

type StoreParts = Pick<ModelUri, 'endpoint' | 'account' | 'bucket' | 'key' | 'query'>;

function splitBucket(rest: string): StoreParts {
  const { endpoint, path } = splitEndpoint(rest);
  const [bucket = '', ...segments] = path.replace(/^\/+/, '').split('/');
  return { endpoint, account: '', bucket, key: segments.join('/'), query: '' };
}

/**
 * `as://account/container/path`, or with the account's whole host; with a store of one's own, whose host says nothing of
 * accounts, the account comes first in the path. What follows a question mark is a shared access signature.
 */
function splitAzure(rest: string): StoreParts {
  const [address = '', ...queries] = rest.split('?');
  const query = queries.length === 0 ? '' : `?${queries.join('?')}`;
  const { endpoint, path } = splitEndpoint(address);
  const segments = path
    .replace(/^\/+/, '')
    .replace(/\/{2,}/g, '/')
    .split('/');
  const host = endpoint === null ? (segments.shift() ?? '') : endpoint.replace(/^https?:\/\//, '');
  const [label = '', ...domain] = host.split('.');
  const isAzureHost = domain[0] === 'blob';
  const account = endpoint === null || isAzureHost ? label : (segments.shift() ?? '');
  const [bucket = '', ...keys] = segments;
  const ownHost = domain.length > 0 && endpoint === null ? `https://${host}` : endpoint;
  return { endpoint: ownHost, account, bucket, key: keys.join('/'), query };
}

function splitEndpoint(rest: string): { readonly endpoint: string | null; readonly path: string } {
  const own = /^(?:(https?):\/\/([^/]+)|([^/]+:\d+))(?:\/|$)/i.exec(rest);
  if (own === null) return { endpoint: null, path: rest };
  const endpoint = `${(own[1] ?? 'http').toLowerCase()}://${own[2] ?? own[3]}`;
  return { endpoint, path: rest.slice(own[0].length) };
}

/** @returns what is wrong, or null */
function mistakeInStore(endpoint: string | null, bucket: string, key: string): string | null {
  if (endpoint !== null && (!URL.canParse(endpoint) || endpoint.includes('@'))) {
    return `names "${endpoint.replace(/.*@/, '…@')}", which is no address of a store`;
  }
  if (bucket === '') return 'names no bucket';
  if (!/^(?:\w[\w.-]*|\$(?:root|web|logs))$/.test(bucket))
    return `names "${bucket}", which cannot be a bucket`;
  const isOdd = key.split('/').some((part) => part === '.' || part === '..');
  return isOdd ? 'has "." or ".." in it, which are no names' : null;
}

/** User code splits what it gets at commas and joins folder and name. @returns null for what names no file */
function safeName(segment: string): string | null {
  if (segment === '' || segment === '.' || segment === '..' || segment.includes('\0')) return null;
  return segment.replace(/,/g, '%2C').replace(/[/\\]/g, '_');
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment; // a percent sign that escapes nothing is itself
  }
}

function schemeOf(entry: string): string {
  return SCHEME.exec(entry)?.[1]?.toLowerCase() ?? '';
}

function refuse(hint: string): ModelUriReading {
  return { ok: false, hint };
}
