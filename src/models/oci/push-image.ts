import type { ImageReference } from '../../config/image-reference.ts';
import { mapConcurrently } from '../../lib/concurrency.ts';
import { sha256 } from '../../lib/hash.ts';
import type { TreeFile } from '../../lib/tree.ts';
import type { BaseImage } from './base-image.ts';
import { uploadBlob } from './blob-upload.ts';
import { architectureOf, CONFIG_TYPE, type Descriptor, IMAGE_TYPE } from './manifest.ts';
import { groupFiles, layerBytes, type PlannedLayer, planLayer } from './push-layers.ts';
import type { Registry } from './registry.ts';

export interface PushOptions {
  /** where it goes, by tag */
  readonly image: ImageReference;
  /** what the folder holds */
  readonly files: readonly TreeFile[];
  /** an image below the model; null: the image is the model and nothing else */
  readonly base: BaseImage | null;
  /** told with each step, and as bytes go */
  readonly onProgress: (progress: PushProgress) => void;
  readonly signal: AbortSignal;
}

export interface PushProgress {
  /** bytes of layers that are there, sent or found there */
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface Pushed {
  /** `sha256:…` of the manifest */
  readonly digest: string;
  readonly layers: number;
  readonly totalBytes: number;
  /** what the registry did not have yet */
  readonly sentBytes: number;
}

type OnBytes = (sizeBytes: number, isSent: boolean) => void;

const LAYERS_AT_ONCE = 3;
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar';

/**
 * Makes an image of a folder, and brings what of it is not there into a registry.
 * @throws SourceError, FileChangedError; the signal's reason
 */
export async function pushImage(registry: Registry, options: PushOptions): Promise<Pushed> {
  const { files, base, signal, image } = options;
  const planned = await mapConcurrently(
    groupFiles(files),
    LAYERS_AT_ONCE,
    async (group) => await planLayer(group, signal),
  );
  const below = base?.layers ?? [];
  const totalBytes = [...below, ...planned].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const tally = { doneBytes: 0, sentBytes: 0 };
  const onBytes: OnBytes = (sizeBytes, isSent) => {
    tally.doneBytes += sizeBytes;
    if (isSent) tally.sentBytes += sizeBytes;
    options.onProgress({ doneBytes: tally.doneBytes, totalBytes });
  };
  if (base !== null) {
    for (const layer of below) await copyLayer(registry, layer, { base, onBytes, signal });
  }
  await mapConcurrently(planned, LAYERS_AT_ONCE, async (layer) => {
    await pushLayer(registry, layer, { onBytes, signal });
  });
  const manifest = manifestOf(base, planned, await pushConfig(registry, configOf(base, planned), signal));
  const digest = await registry.putManifest(image.tag ?? 'latest', manifest, signal);
  return { digest, layers: below.length + planned.length, totalBytes, sentBytes: tally.sentBytes };
}

async function pushLayer(
  registry: Registry,
  { files, digest, sizeBytes }: PlannedLayer,
  { onBytes, signal }: { readonly onBytes: OnBytes; readonly signal: AbortSignal },
): Promise<void> {
  if (await registry.hasBlob(digest, signal)) return onBytes(sizeBytes, false);
  const feed: Feed = async (write) => {
    for await (const bytes of layerBytes(files)) await write(bytes);
  };
  await uploadBlob(registry, digest, counted(feed, onBytes), signal);
}

type Feed = Parameters<typeof uploadBlob>[2];

/** Counts what goes; what goes again counts once. */
function counted(feed: Feed, onBytes: OnBytes): Feed {
  let mostBytes = 0;
  return async (write) => {
    let doneBytes = 0;
    await feed(async (bytes) => {
      await write(bytes);
      doneBytes += bytes.length;
      if (doneBytes > mostBytes) onBytes(doneBytes - mostBytes, true);
      mostBytes = Math.max(mostBytes, doneBytes);
    });
  };
}

async function copyLayer(
  registry: Registry,
  layer: Descriptor,
  {
    base,
    onBytes,
    signal,
  }: { readonly base: BaseImage; readonly onBytes: OnBytes; readonly signal: AbortSignal },
): Promise<void> {
  const isThere =
    (await registry.hasBlob(layer.digest, signal)) ||
    (await registry.mountBlob(layer.digest, base.registry, signal));
  if (isThere) return onBytes(layer.sizeBytes, false);
  const feed: Feed = async (write) => await base.registry.readBlob(layer, write, signal);
  await uploadBlob(registry, layer.digest, counted(feed, onBytes), signal);
}

async function pushConfig(registry: Registry, config: object, signal: AbortSignal): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(config));
  const digest = `sha256:${sha256(bytes)}`;
  if (!(await registry.hasBlob(digest, signal))) {
    await uploadBlob(registry, digest, async (write) => await write(bytes), signal);
  }
  return { mediaType: CONFIG_TYPE, digest, sizeBytes: bytes.length };
}

/** Without times and names of who made it, so that the same files are the same image. */
function configOf(base: BaseImage | null, planned: readonly PlannedLayer[]): object {
  const plain = { architecture: architectureOf(process.arch), os: 'linux', config: {} };
  // Layers without compression are called by what they hold, too.
  const diffIds = [...(base?.diffIds ?? []), ...planned.map(({ digest }) => digest)];
  return { ...(base?.config ?? plain), rootfs: { type: 'layers', diff_ids: diffIds } };
}

function manifestOf(base: BaseImage | null, planned: readonly PlannedLayer[], config: Descriptor): string {
  const written = ({ mediaType, digest, sizeBytes }: Descriptor) => ({ mediaType, digest, size: sizeBytes });
  const own = planned.map(({ digest, sizeBytes }) => written({ mediaType: LAYER_TYPE, digest, sizeBytes }));
  return JSON.stringify({
    ...{ schemaVersion: 2, mediaType: IMAGE_TYPE, config: written(config) },
    layers: [...(base?.layers ?? []).map(written), ...own],
  });
}
