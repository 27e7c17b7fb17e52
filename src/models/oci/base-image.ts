import { ModelError } from '../pins.ts';
import type { Descriptor } from './manifest.ts';
import { imageFor } from './platform-image.ts';
import type { Registry } from './registry.ts';

/** What a model's image is put on, so that a container of it can run a shell. */
export interface BaseImage {
  readonly registry: Registry;
  /** with OCI's media types */
  readonly layers: readonly Descriptor[];
  /** what the layers are called without compression */
  readonly diffIds: readonly string[];
  /** what it runs and for which processors; of its history nothing */
  readonly config: Readonly<Record<string, unknown>>;
}

const MAX_CONFIG_BYTES = 4 * 1024 ** 2;

/**
 * Reads what there is to know of an image that others are put on.
 * @param name its tag or digest
 * @throws ModelError, SourceError
 */
export async function openBase(registry: Registry, name: string, signal: AbortSignal): Promise<BaseImage> {
  const found = await registry.manifest(name, signal);
  if (found === null) throw unusable(registry, 'MODEL_NOT_FOUND', 'the registry has no such image');
  const { layers, config } = await imageFor(registry, found, signal);
  if (config === null || config.sizeBytes > MAX_CONFIG_BYTES) {
    throw unusable(registry, 'MODEL_UNUSABLE', 'an image without a configuration');
  }
  const chunks: Buffer[] = [];
  await registry.readBlob(config, async (bytes) => void chunks.push(Buffer.from(bytes)), signal);
  const { history, rootfs, ...rest } = JSON.parse(Buffer.concat(chunks).toString('utf8')) as {
    readonly history?: unknown;
    readonly rootfs?: { readonly diff_ids?: readonly string[] };
  };
  const diffIds = rootfs?.diff_ids ?? [];
  if (diffIds.length !== layers.length) {
    throw unusable(registry, 'MODEL_UNUSABLE', 'an image whose layers are not those of its configuration');
  }
  const inOciForm = layers.map((layer) => ({ ...layer, mediaType: ociType(layer.mediaType) }));
  return { registry, layers: inOciForm, diffIds, config: rest };
}

/** Docker's name of a layer's form as OCI has it. */
function ociType(mediaType: string): string {
  const packing = /[+.](gzip|zstd)$/.exec(mediaType)?.[1];
  return `application/vnd.oci.image.layer.v1.tar${packing === undefined ? '' : `+${packing}`}`;
}

function unusable({ place }: Registry, code: 'MODEL_NOT_FOUND' | 'MODEL_UNUSABLE', what: string): ModelError {
  return new ModelError(`${place}: ${what}`, { code, model: place });
}
