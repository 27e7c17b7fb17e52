import { SourceError } from '../sources/types.ts';

/** Names a blob, or another manifest, by what it holds. */
export interface Descriptor {
  readonly mediaType: string;
  /** `sha256:…` */
  readonly digest: string;
  readonly sizeBytes: number;
}

export interface ImageManifest {
  /** what it is to be run with; null for none */
  readonly config: Descriptor | null;
  /** the lowest first; what is no file system (signatures, attestations) is left out */
  readonly layers: readonly Descriptor[];
}

/** An index names an image per platform. */
interface IndexEntry extends Descriptor {
  /** `linux/amd64`; null where none is said */
  readonly platform: string | null;
}

type Document =
  | { readonly kind: 'image'; readonly image: ImageManifest }
  | { readonly kind: 'index'; readonly entries: readonly IndexEntry[] };

export const IMAGE_TYPE = 'application/vnd.oci.image.manifest.v1+json';
export const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';

/** What a registry is asked for, both forms of it. */
export const MANIFEST_TYPES = [
  'application/vnd.oci.image.index.v1+json',
  IMAGE_TYPE,
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
] as const;

/** Layers of files, packed in any of the usual ways. */
const LAYER_TYPE =
  /^application\/vnd\.(?:oci\.image\.layer\.(?:nondistributable\.)?v1|docker\.image\.rootfs(?:\.foreign)?\.diff)\.tar(?:[+.](?:gzip|zstd))?$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/**
 * Reads a manifest of an image, or an index of several, in OCI's form or Docker's.
 * @param place for messages
 * @throws SourceError SOURCE_ANSWER for anything else
 */
export function parseManifest(text: string, place: string): Document {
  const value = jsonIn(text, place);
  const { manifests, layers } = value;
  if (Array.isArray(manifests)) {
    const entries = manifests.map((one: unknown) => ({
      ...descriptorIn(one, place),
      platform: platformOf(one),
    }));
    return { kind: 'index', entries };
  }
  if (!Array.isArray(layers)) {
    const isOld = value['schemaVersion'] === 1;
    throw odd(place, isOld ? 'an image in the form of before 2016 (schema 1): push it again' : 'no image');
  }
  const all = layers.map((one: unknown) => descriptorIn(one, place));
  const config = value['config'] === undefined ? null : descriptorIn(value['config'], place);
  const files = all.filter(({ mediaType }) => LAYER_TYPE.test(mediaType));
  return { kind: 'image', image: { config, layers: files } };
}

/**
 * The image for Linux on this kind of machine.
 * @param architecture as Go calls it: `amd64`, `arm64`
 * @throws SourceError naming the platforms that there are
 */
export function choosePlatform(
  entries: readonly IndexEntry[],
  architecture: string,
  place: string,
): Descriptor {
  const wanted = `linux/${architecture}`;
  const found = entries.find(({ platform }) => platform === wanted);
  if (found !== undefined) return found;
  // Attestations stand in an index as images for `unknown/unknown`.
  const there = entries
    .map(({ platform }) => platform ?? 'unnamed')
    .filter((one) => !one.startsWith('unknown/'));
  const [only, ...others] = entries.filter(({ platform }) => platform === null);
  if (only !== undefined && others.length === 0 && there.length === 1) return only;
  throw odd(
    place,
    `an index without an image for ${wanted}; there are ${[...new Set(there)].join(', ') || 'none'}`,
  );
}

/** How this machine's processors are called in images. @param arch as Node calls it */
export function architectureOf(arch: string): string {
  return { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' }[arch] ?? arch;
}

function descriptorIn(value: unknown, place: string): Descriptor {
  const { mediaType, digest, size } = (value ?? {}) as Readonly<Record<string, unknown>>;
  const isSize = typeof size === 'number' && Number.isSafeInteger(size) && size >= 0;
  if (typeof digest !== 'string' || !DIGEST.test(digest) || !isSize) {
    throw odd(place, 'a manifest that names a part without a SHA-256 or a size');
  }
  return { mediaType: typeof mediaType === 'string' ? mediaType : '', digest, sizeBytes: size };
}

function platformOf(value: unknown): string | null {
  const { platform } = (value ?? {}) as { readonly platform?: Readonly<Record<string, unknown>> };
  return typeof platform?.['os'] === 'string' ? `${platform['os']}/${platform['architecture']}` : null;
}

function jsonIn(text: string, place: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Readonly<Record<string, unknown>>;
  } catch {
    // said below
  }
  throw odd(place, 'a manifest that is no JSON');
}

function odd(place: string, what: string): SourceError {
  return new SourceError(`${place}: the registry gives ${what}`, { code: 'SOURCE_ANSWER' });
}
