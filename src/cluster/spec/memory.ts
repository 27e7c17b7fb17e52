import type { MemoryStream, PinnedSpec } from './types.ts';

/** Whether a section's models lie in memory while they are loaded, and for how long; null: they do not. */
export function memoryStream({ stream }: Pick<PinnedSpec, 'stream'>): MemoryStream | null {
  return typeof stream === 'object' ? stream : null;
}

/** What a replica takes of its node's memory: what its section reserves, and its models where they lie in memory. */
export function reservedMemoryBytes(spec: Pick<PinnedSpec, 'stream' | 'memoryBytes' | 'modelPins'>): number {
  if (memoryStream(spec) === null) return spec.memoryBytes;
  return spec.modelPins
    .filter(({ listing }) => listing !== undefined)
    .reduce((sum, { sizeBytes }) => sum + sizeBytes, spec.memoryBytes);
}
