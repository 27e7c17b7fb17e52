import { codeOf } from '../../lib/errors.ts';
import type { Layer, LayerDraft } from './layer-draft.ts';
import type { Descriptor } from './manifest.ts';
import { PackedBytes } from './packed-bytes.ts';
import type { Registry } from './registry.ts';

export interface LayerPlace {
  readonly registry: Registry;
  /** where its files go */
  readonly draft: LayerDraft;
  /** where it is kept as it comes until it is whole; null: nowhere, there is too little room */
  readonly packedPath: string | null;
  /** where programs are that unpack */
  readonly searchPath: string;
}

export interface LayerOptions {
  /** how many bytes have come from the registry */
  readonly onBytes: (sizeBytes: number) => void;
  readonly signal: AbortSignal;
}

/**
 * Fetches a layer, or what is missing of it, and unpacks it; its digest is checked over all of it. What an earlier fetch has
 * left may have suffered: where that comes to nothing, the layer is fetched from its start, once.
 * @throws SourceError, ImageError, TarError, UnpackError; the signal's reason
 */
export async function fetchLayer(
  layer: Descriptor,
  place: LayerPlace,
  options: LayerOptions,
): Promise<Layer> {
  if (place.packedPath === null) return await unpack(layer, place, { ...options, packed: null });
  const packed = await PackedBytes.open(place.packedPath);
  try {
    const fetched = await unpack(layer, place, { ...options, packed });
    await packed.discard();
    return fetched;
  } catch (error) {
    // Where only the rest could not be had, what has come is as good as it was.
    if (options.signal.aborted || isOfRegistry(error)) throw error;
    await packed.discard();
    if (packed.heldBytes === 0 || !isOfBytes(error)) throw error;
    return await unpack(layer, place, { ...options, packed: null });
  } finally {
    await packed.close();
  }
}

async function unpack(
  layer: Descriptor,
  { registry, draft, searchPath }: LayerPlace,
  { onBytes, signal, packed }: LayerOptions & { readonly packed: PackedBytes | null },
): Promise<Layer> {
  const heldBytes = packed?.heldBytes ?? 0;
  return await draft.fetch(async (take) => {
    const sink = async (bytes: Buffer, position: number): Promise<void> => {
      if (position >= heldBytes) {
        onBytes(bytes.length);
        await packed?.add(bytes);
      }
      await take(bytes);
    };
    await registry.readBlob(layer, sink, signal, packed?.held());
  }, searchPath);
}

/** It cannot be reached, or refuses. */
function isOfRegistry(error: unknown): boolean {
  return ['SOURCE_FAILED', 'SOURCE_REFUSED', 'SOURCE_CREDENTIALS'].includes(codeOf(error) ?? '');
}

/** What has come is not what it should be. */
function isOfBytes(error: unknown): boolean {
  return /^(?:SOURCE_ANSWER|TAR_|UNPACK_BROKEN|IMAGE_)/.test(codeOf(error) ?? '');
}
