import { ModelError } from '../pins.ts';
import { architectureOf, choosePlatform, type ImageManifest, parseManifest } from './manifest.ts';
import type { FoundManifest, Registry } from './registry.ts';

/**
 * The image for this kind of machine, where an index names several.
 * @throws ModelError, SourceError
 */
export async function imageFor(
  registry: Registry,
  found: FoundManifest,
  signal: AbortSignal,
): Promise<ImageManifest> {
  const { place } = registry;
  const document = parseManifest(found.text, place);
  if (document.kind === 'image') return document.image;
  const { digest } = choosePlatform(document.entries, architectureOf(process.arch), place);
  const inner = await registry.manifest(digest, signal);
  if (inner === null) {
    const what = `the registry has an index that names ${digest}, and no such image`;
    throw new ModelError(`${place}: ${what}; push it again`, { code: 'MODEL_NOT_FOUND', model: place });
  }
  const named = parseManifest(inner.text, place);
  if (named.kind === 'image') return named.image;
  throw new ModelError(`${place}: an index within an index; push it again`, {
    code: 'MODEL_UNUSABLE',
    model: place,
  });
}
