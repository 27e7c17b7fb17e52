import { rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { mapConcurrently } from '../../lib/concurrency.ts';
import type { ContentStore, StoredContent } from '../../lib/content/content-store.ts';
import { freeBytesAt } from '../../lib/content/room.ts';
import { MAX_FILES_IN_A_FOLDER, ModelError } from '../pins.ts';
import { type ComposedFile, composeFiles } from './compose.ts';
import type { ImageRecords } from './image-records.ts';
import { keepComposed } from './keep-composed.ts';
import { type Layer, LayerDraft } from './layer-draft.ts';
import { MODEL_FOLDER } from './layer-entries.ts';
import { fetchLayer } from './layer-fetch.ts';
import type { Descriptor } from './manifest.ts';
import { PackedBytes } from './packed-bytes.ts';
import type { Registry } from './registry.ts';

export interface ImageFetchOptions {
  /** of the image, or of the index that names it */
  readonly digest: string;
  /** the lowest first */
  readonly layers: readonly Descriptor[];
  /** where layers and the model grow: this image's alone */
  readonly folder: string;
  /** where programs are that unpack */
  readonly searchPath: string;
}

export interface ImageFetchDependencies {
  readonly registry: Registry;
  readonly records: ImageRecords;
  readonly store: ContentStore;
}

/** Enough to fill a fast line where layers are large files, and few enough that a small registry stands it. */
const LAYERS_AT_ONCE = 4;
/** So that a slow fetch does not look forgotten to who tidies up. */
const TOUCH_EVERY_MS = 60_000;
/** Packed bytes are kept beside the unpacked ones where the disk has room for both, and as much again. */
const ROOM_FACTOR = 3;

/** One image on its way to being a model that is kept. Whoever does this holds the locks of its layers. */
export class ImageFetch {
  readonly #options: ImageFetchOptions;
  readonly #dependencies: ImageFetchDependencies;
  /** of each distinct layer */
  readonly #drafts: ReadonlyMap<string, LayerDraft>;
  readonly #layers = new Map<string, Layer>();

  constructor(options: ImageFetchOptions, dependencies: ImageFetchDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#drafts = new Map(
      options.layers.map(({ digest }) => [digest, new LayerDraft(this.#folderOf(digest))]),
    );
  }

  /**
   * Finds layers that an earlier fetch has left, and those whose files are part of models that are kept.
   * @returns the ones that have to be fetched
   */
  async prepare(): Promise<readonly Descriptor[]> {
    const { records, store } = this.#dependencies;
    for (const [digest, draft] of this.#drafts) {
      const left = await draft.find();
      const known = left === null ? await records.layerOf(digest) : null;
      const adopted = known !== null && (await draft.adopt(known, store)) ? known : null;
      const layer = left ?? adopted;
      if (layer !== null) this.#layers.set(digest, layer);
    }
    return [...this.#drafts.keys()]
      .filter((digest) => !this.#layers.has(digest))
      .flatMap((digest) => this.#options.layers.find((layer) => layer.digest === digest) ?? []);
  }

  /** How much of these layers an earlier fetch has left, and need not be asked for. */
  async heldBytes(missing: readonly Descriptor[]): Promise<number> {
    const sizes = await Promise.all(
      missing.map(({ digest }) => PackedBytes.sizeAt(this.#packedPath(digest))),
    );
    return sizes.reduce((sum, sizeBytes) => sum + sizeBytes, 0);
  }

  /**
   * Fetches layers; those that are complete stay for another try when one fails, and of the others what has come, where the
   * disk has room for it.
   * @param onBytes how many have come
   * @throws SourceError, ImageError, TarError, UnpackError; the signal's reason
   */
  async fetch(
    missing: readonly Descriptor[],
    onBytes: (sizeBytes: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { registry } = this.#dependencies;
    const { searchPath } = this.#options;
    const failed = new AbortController();
    const touching = setInterval(() => void touch(this.#options.folder), TOUCH_EVERY_MS);
    const either = AbortSignal.any([signal, failed.signal]);
    const toComeBytes = missing.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const isRoomy = (await freeBytesAt(this.#options.folder)) > toComeBytes * ROOM_FACTOR;
    await mapConcurrently(missing, LAYERS_AT_ONCE, async (descriptor) => {
      try {
        const draft = this.#drafts.get(descriptor.digest);
        if (draft === undefined) return;
        const packedPath = this.#packedPath(descriptor.digest);
        if (!isRoomy) await rm(packedPath, { force: true });
        const place = { registry, draft, searchPath, packedPath: isRoomy ? packedPath : null };
        const layer = await fetchLayer(descriptor, place, { onBytes, signal: either });
        this.#layers.set(descriptor.digest, layer);
      } catch (error) {
        failed.abort(error); // the others need not end what nobody gets
        throw error;
      }
    }).finally(() => clearInterval(touching));
  }

  /**
   * Puts the layers on top of each other, and the model where models are kept; its files are the layers', under further names.
   * @throws ModelError when the image holds no model; ImageError, ManifestError when that is nothing for a folder
   */
  async finish(): Promise<StoredContent> {
    const { records, store } = this.#dependencies;
    const layers = this.#options.layers.map(({ digest }) => this.#layers.get(digest));
    const files = composeFiles(
      layers.map((layer) => layer?.entries ?? []),
      MODEL_FOLDER,
      MAX_FILES_IN_A_FOLDER,
    );
    if (files === null || files.length === 0) throw this.#noModel(files);
    const pathOf = (file: ComposedFile): string =>
      this.#drafts.get(this.#options.layers[file.layer]?.digest ?? '')?.pathOf(file) ?? '';
    const content = await keepComposed(files, { tree: join(this.#options.folder, 'tree'), pathOf }, store);
    for (const [digest, layer] of this.#layers) await records.rememberLayer(digest, layer, content.hash);
    await records.rememberContent(this.#options.digest, content.hash);
    await rm(this.#options.folder, { recursive: true, force: true });
    await store.touch(content.hash);
    return content;
  }

  #folderOf(digest: string): string {
    return join(this.#options.folder, digest.replace(':', '-'));
  }

  #packedPath(digest: string): string {
    return `${this.#folderOf(digest)}.packed`;
  }

  #noModel(files: readonly ComposedFile[] | null): ModelError {
    const model = this.#dependencies.registry.place;
    const tops = [...new Set([...this.#layers.values()].flatMap((layer) => layer.tops))].sort();
    const what = files === null ? `no folder /${MODEL_FOLDER}` : `nothing in /${MODEL_FOLDER}`;
    return new ModelError(
      `${model}: the image has ${what}, where a model has to be; at its top there are ${tops.join(', ') || 'no files at all'}`,
      { code: 'MODEL_UNUSABLE', model },
    );
  }
}

async function touch(folder: string): Promise<void> {
  const now = new Date();
  await utimes(folder, now, now).catch(() => undefined);
}
