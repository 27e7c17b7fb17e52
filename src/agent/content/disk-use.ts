/** What lies on the disk under names of its own; what images share lies there once, under names in several models. */
export interface DiskUse {
  /** bytes by what tells one file on the disk from another */
  readonly files: ReadonlyMap<string, number>;
}

/** What all of them take together, each file counted once. */
export function bytesOf(uses: readonly DiskUse[]): number {
  const files = new Map<string, number>();
  for (const use of uses) for (const [file, sizeBytes] of use.files) files.set(file, sizeBytes);
  return [...files.values()].reduce((sum, sizeBytes) => sum + sizeBytes, 0);
}
