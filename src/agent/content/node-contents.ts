import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { memoryStream } from '../../cluster/spec/memory.ts';
import type { MemoryStream, ModelPin, PinnedSpec } from '../../cluster/spec/types.ts';
import type { StatePaths } from '../../config/paths.ts';
import type { ContentStore, StoredContent } from '../../lib/content/content-store.ts';
import { totalBytesOf } from '../../lib/content/manifest.ts';
import { PieceSet, pieceCount } from '../../lib/content/pieces.ts';
import type { Room } from '../../lib/content/room.ts';
import { unlessAborted } from '../../lib/unless-aborted.ts';
import type { ComingModel } from '../../models/streaming/coming-model.ts';
import type { ModelStreams } from '../../models/streaming/model-streams.ts';
import { ComingModels } from './coming-models.ts';
import type { ContentClient } from './content-client.ts';
import type { ServedContent } from './content-server.ts';
import { ContentFetch, type ContentNode, type FetchOptions } from './fetch-content.ts';
import { modelInPlace, packageInPlace } from './in-place.ts';
import type { ModelBarrier, Program } from './model-barrier.ts';
import { type NamedModel, showModels, viewKey } from './model-view.ts';

export interface NodeContentsDependencies {
  readonly store: ContentStore;
  readonly client: ContentClient;
  readonly room: Room;
  readonly streams: ModelStreams;
  readonly barrier: Pick<ModelBarrier, 'enter'>;
  /** other nodes of the cluster whose content servers can be asked */
  readonly nodes: () => Promise<readonly ContentNode[]>;
}

export interface ObtainProgress {
  readonly onProgress: (line: string) => void;
  readonly signal: AbortSignal;
}

/** A fetch that several wait for; it ends when nobody does any more. */
interface SharedFetch {
  readonly fetch: ContentFetch;
  readonly result: Promise<StoredContent>;
  readonly watchers: Set<ObtainProgress>;
  readonly nobodyWaits: AbortController;
  /** the last line of it; whoever joins later hears it, too */
  said: string | null;
}

/** How long what was looked at is given without another look: whoever fetches makes sure of it anyway. */
const SERVED_MS = 3_000;

export type ContentPaths = Pick<StatePaths, 'snapshots' | 'views' | 'partial' | 'digests'>;

/** The packages and models of this node: what is here, what lies where the head has it, and what has to be fetched. */
export class NodeContents {
  readonly #paths: ContentPaths;
  readonly #dependencies: NodeContentsDependencies;
  readonly #fetches = new Map<string, SharedFetch>();
  readonly #served = new Map<string, { readonly content: ServedContent; readonly atMs: number }>();
  readonly #stopping = new AbortController();

  constructor(paths: ContentPaths, dependencies: NodeContentsDependencies) {
    this.#paths = paths;
    this.#dependencies = dependencies;
  }

  /**
   * Makes sure that everything a spec names is on this node, as its hashes say.
   * @returns the spec with this node's own paths
   * @throws ContentError; the signal's reason
   */
  async obtain(spec: PinnedSpec, progress: ObtainProgress): Promise<PinnedSpec> {
    const { hash } = spec.package;
    const code =
      (await this.#known(hash)) ??
      (await this.#adopt(packageInPlace(spec.package, this.#paths.digests))) ??
      (await this.#fetch(
        { hash, what: `package ${spec.packageName}`, target: join(this.#paths.snapshots, hash) },
        progress,
      ));
    return await this.obtainModels({ ...spec, package: { hash, snapshotDir: code.root } }, progress);
  }

  /** The same for the models alone, and for what follows from them: model folder and working directory. */
  async obtainModels(spec: PinnedSpec, progress: ObtainProgress): Promise<PinnedSpec> {
    const models: NamedModel[] = [];
    for (const pin of spec.modelPins) {
      models.push({ name: pin.name, ...(await this.#model(spec, pin, progress)) });
    }
    const isInPlace = models.every(({ name, content }) => content.root === join(spec.modelRoot, name));
    const view = join(this.#paths.views, viewKey(spec.modelPins));
    const modelRoot =
      isInPlace && existsSync(spec.modelRoot) ? spec.modelRoot : join(view, basename(spec.modelRoot));
    // A folder of that name that has no packages is not the project.
    const projectDir = existsSync(join(spec.projectDir, 'algopkg')) ? spec.projectDir : view;
    if (modelRoot !== spec.modelRoot || projectDir === view) {
      await showModels(join(view, basename(spec.modelRoot)), models);
    }
    return { ...spec, modelRoot, projectDir };
  }

  /** What of a spec's models is still on its way; null: nothing. */
  coming({ modelPins }: Pick<PinnedSpec, 'modelPins'>): ComingModels | null {
    const models = this.#streamedOf(modelPins).filter(({ isWhole }) => !isWhole);
    return models.length === 0 ? null : new ComingModels(models);
  }

  /**
   * Makes it safe for a program to open the models of a spec: it is made to wait for what is on its way, or that is waited for
   * here where it cannot be.
   * @returns what its environment needs for that
   * @throws ContentError; the signal's reason
   */
  async enter(spec: PinnedSpec, program: Program, progress: ObtainProgress): Promise<Program['env']> {
    const models = this.#streamedOf(spec.modelPins);
    if (models.length === 0) return {};
    const { barrier } = this.#dependencies;
    const entry = await barrier.enter(program);
    if (entry.ok) return entry.variables;
    const { onProgress, signal } = progress;
    await new ComingModels(models).awaited({
      signal,
      onProgress: (line) => onProgress(`${line}; it is waited for, since ${entry.reason}`),
    });
    for (const model of models) await model.keep?.(signal);
    return {};
  }

  /** These specs are assigned to this node: of models that are streamed, theirs are fetched to the end, and no others. */
  want(specs: readonly Pick<PinnedSpec, 'modelPins' | 'stream'>[]): void {
    const wanted = new Map<string, MemoryStream | null>();
    for (const spec of specs) {
      const memory = memoryStream(spec);
      for (const { sha256, listing } of spec.modelPins) {
        if (listing === undefined || (memory === null && sha256 !== null)) continue;
        wanted.set(listing, wanted.get(listing) === null ? null : memory); // on the disk all find it
      }
    }
    this.#dependencies.streams.want(wanted);
  }

  /** What this node can give to others, whole or while it is still on its way; null when it has nothing of it. */
  async find(hash: string): Promise<ServedContent | null> {
    const partial = this.#fetches.get(hash)?.fetch.partial ?? null;
    if (partial !== null) return { root: partial.root, files: partial.files, held: partial.held };
    const served = this.#served.get(hash);
    if (served !== undefined && performance.now() - served.atMs < SERVED_MS) return served.content;
    const content = await this.#whole(hash);
    if (content !== null) this.#served.set(hash, { content, atMs: performance.now() });
    for (const [other, { atMs }] of this.#served) {
      if (performance.now() - atMs >= SERVED_MS) this.#served.delete(other);
    }
    return content;
  }

  async #whole(hash: string): Promise<ServedContent | null> {
    const found =
      (await this.#dependencies.store.find(hash)) ??
      (await this.#adopt(
        packageInPlace({ hash, snapshotDir: join(this.#paths.snapshots, hash) }, this.#paths.digests),
      ));
    if (found === null) return null;
    return { ...found, held: PieceSet.full(pieceCount(totalBytesOf(found.files))) };
  }

  /** Ends what is being fetched; what has come stays for the next time. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    const running = [...this.#fetches.values()];
    for (const { nobodyWaits } of running) nobodyWaits.abort();
    await Promise.allSettled(running.map(({ result }) => result));
  }

  async #model(spec: PinnedSpec, pin: ModelPin, progress: ObtainProgress): Promise<Omit<NamedModel, 'name'>> {
    const memory = memoryStream(spec);
    if (pin.listing === undefined || (memory === null && pin.sha256 !== null)) {
      return { content: await this.#kept(spec.modelRoot, pin, progress) };
    }
    return {
      content: await this.#streamed(pin.name, { listing: pin.listing, memory }, progress),
      isMoving: memory !== null,
    };
  }

  async #kept(modelRoot: string, pin: ModelPin, progress: ObtainProgress): Promise<NamedModel['content']> {
    if (pin.sha256 === null)
      return await this.#streamed(pin.name, { listing: pin.listing, memory: null }, progress);
    const { store } = this.#dependencies;
    return (
      (await this.#known(pin.sha256)) ??
      (await this.#adopt(modelInPlace(modelRoot, pin, this.#paths.digests))) ??
      (await this.#fetch(
        { hash: pin.sha256, what: `model ${pin.name}`, target: store.pathOf(pin.sha256) },
        progress,
      ))
    );
  }

  /** A model that may still be on its way; one that others have whole is fetched from them. */
  async #streamed(
    name: string,
    { listing, memory }: { readonly listing: string; readonly memory: MemoryStream | null },
    progress: ObtainProgress,
  ): Promise<NamedModel['content']> {
    const { store, streams } = this.#dependencies;
    progress.onProgress(`looking for model ${name}`);
    const streamed = await unlessAborted(streams.join(listing, memory), progress.signal);
    if (streamed.kind === 'whole') return streamed.content;
    if (streamed.kind === 'coming') return streamed.model;
    const { hash } = streamed;
    const wish = { hash, what: `model ${name}`, target: store.pathOf(hash) };
    return (await this.#known(hash)) ?? (await this.#fetch(wish, progress));
  }

  #streamedOf(pins: readonly ModelPin[]): readonly ComingModel[] {
    const { streams } = this.#dependencies;
    return pins.flatMap(({ listing }) => (listing === undefined ? [] : (streams.find(listing) ?? [])));
  }

  async #known(hash: string): Promise<StoredContent | null> {
    const { store } = this.#dependencies;
    const found = await store.find(hash);
    if (found !== null) await store.touch(hash);
    return found;
  }

  async #adopt(found: Promise<StoredContent | null>): Promise<StoredContent | null> {
    const content = await found;
    return content === null ? null : await this.#dependencies.store.add(content);
  }

  /** Several that want the same wait for one fetch. */
  async #fetch(wish: Omit<FetchOptions, 'partialDir'>, progress: ObtainProgress): Promise<StoredContent> {
    progress.signal.throwIfAborted();
    let shared = this.#fetches.get(wish.hash);
    while (shared?.nobodyWaits.signal.aborted) {
      // All who waited for it have gone; its folder is its own until it has ended.
      await unlessAborted(Promise.allSettled([shared.result]), progress.signal);
      this.#stopping.signal.throwIfAborted();
      shared = this.#fetches.get(wish.hash);
    }
    return await this.#join(shared ?? this.#begin(wish), progress);
  }

  async #join(shared: SharedFetch, progress: ObtainProgress): Promise<StoredContent> {
    shared.watchers.add(progress);
    if (shared.said !== null) progress.onProgress(shared.said);
    try {
      return await unlessAborted(shared.result, progress.signal);
    } finally {
      shared.watchers.delete(progress);
      if (shared.watchers.size === 0) shared.nobodyWaits.abort();
    }
  }

  #begin(wish: Omit<FetchOptions, 'partialDir'>): SharedFetch {
    const nobodyWaits = new AbortController();
    const onProgress = (line: string): void => {
      shared.said = line;
      for (const watcher of shared.watchers) watcher.onProgress(line);
    };
    const { client, nodes, room } = this.#dependencies;
    const fetch = new ContentFetch(
      { ...wish, partialDir: join(this.#paths.partial, wish.hash) },
      { client, nodes, room, signal: nobodyWaits.signal, onProgress },
    );
    const result = this.#fetched(wish, fetch).finally(() => this.#fetches.delete(wish.hash));
    result.catch(() => undefined); // whoever waits has it, too; nobody may wait any more
    const shared: SharedFetch = { fetch, result, watchers: new Set(), nobodyWaits, said: null };
    this.#fetches.set(wish.hash, shared);
    return shared;
  }

  /** What a fetch has brought since its caller looked is not fetched once more. */
  async #fetched(wish: Omit<FetchOptions, 'partialDir'>, fetch: ContentFetch): Promise<StoredContent> {
    const found = await this.#known(wish.hash);
    if (found !== null) return found;
    return await this.#dependencies.store.add({
      hash: wish.hash,
      root: wish.target,
      files: await fetch.run(),
    });
  }
}
