export interface PreloadPlace {
  /** path of the library */
  readonly library: string;
  /** of the BarrierServer that answers */
  readonly socketPath: string;
  /** real paths of the folders with placeholders, without colons: one that nobody answers for cannot be opened there */
  readonly folders: readonly string[];
  /** how long whoever waits goes on when the server is away; 0 by default */
  readonly patienceMs?: number;
}

/**
 * What the environment of a process needs so that it, and all that it starts, waits for placeholders.
 * @param preloaded its LD_PRELOAD so far: what stands there stays, and comes first
 */
export function preloadVariables(
  { library, socketPath, folders, patienceMs = 0 }: PreloadPlace,
  preloaded: string | undefined,
): Readonly<Record<string, string>> {
  const libraries = (preloaded ?? '').split(/[\s:]+/).filter((one) => one !== '' && one !== library);
  return {
    LD_PRELOAD: [...libraries, library].join(':'),
    MODELSERVE_PRELOAD_SOCKET: socketPath,
    MODELSERVE_PRELOAD_DIRS: folders.join(':'),
    ...(patienceMs === 0 ? {} : { MODELSERVE_PRELOAD_PATIENCE_S: String(Math.ceil(patienceMs / 1000)) }),
  };
}
