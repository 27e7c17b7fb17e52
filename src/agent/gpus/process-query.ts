const MIB = 1024 * 1024;

/** What one process uses of one GPU; null: the driver does not say. */
export interface ProcessUse {
  /** index or UUID of the GPU, as the question tells it */
  readonly gpu: string;
  readonly pid: number;
  readonly memoryUsedBytes: number | null;
  /** the share of the last second in which its kernels ran, 0 to 1 */
  readonly busy: number | null;
}

/** A way to ask the driver what processes use. */
export interface ProcessQuestion {
  readonly args: readonly string[];
  /** @returns null where the output is no answer */
  readonly parse: (output: string) => readonly ProcessUse[] | null;
}

/** Both figures at once, of whatever kind of process. It takes the driver about a second, and some cards cannot tell. */
export const MONITOR: ProcessQuestion = { args: ['pmon', '-c', '1', '-s', 'um'], parse: parseMonitor };

/** Memory alone, wherever there is a driver. */
export const COMPUTE_APPS: ProcessQuestion = {
  args: ['--query-compute-apps=gpu_uuid,pid,used_memory', '--format=csv,noheader,nounits'],
  parse: parseComputeApps,
};

/**
 * A table whose columns differ from driver to driver: its first line names them.
 * `# gpu  pid  type  sm  mem  enc  dec  fb  command` over `0  7372  C  2  0  -  -  136  python`.
 */
function parseMonitor(output: string): readonly ProcessUse[] | null {
  const lines = output.split('\n').map((line) => line.trim());
  const columns = lines.find((line) => /^#\s*gpu\s/i.test(line))?.match(/[^\s#]+/g);
  const [gpuAt, pidAt, busyAt, memoryAt] = ['gpu', 'pid', 'sm', 'fb'].map(
    (name) => columns?.indexOf(name) ?? -1,
  ) as [number, number, number, number];
  if ([gpuAt, pidAt, memoryAt].includes(-1)) return null;
  return lines.flatMap((line) => {
    const fields = line.split(/\s+/);
    const percent = numberIn(fields[busyAt]);
    return useOf(fields[gpuAt], fields[pidAt], {
      memoryMib: numberIn(fields[memoryAt]),
      busy: percent === null ? null : Math.min(1, percent / 100),
    });
  });
}

function parseComputeApps(output: string): readonly ProcessUse[] {
  return output.split('\n').flatMap((line) => {
    const [uuid, pid, memory] = line.split(',').map((field) => field.trim());
    if (uuid?.startsWith('GPU-') !== true) return [];
    return useOf(uuid, pid, { memoryMib: numberIn(memory), busy: null });
  });
}

/** Nothing of a line that names no process: a card without one, a heading, `[Not Found]`. */
function useOf(
  gpu: string | undefined,
  pid: string | undefined,
  { memoryMib, busy }: { readonly memoryMib: number | null; readonly busy: number | null },
): readonly ProcessUse[] {
  const number = numberIn(pid);
  if (gpu === undefined || gpu === '#' || number === null) return [];
  return [{ gpu, pid: number, memoryUsedBytes: memoryMib === null ? null : memoryMib * MIB, busy }];
}

/** `-`, `[N/A]`, `[Not Found]` and the like are no numbers. */
function numberIn(text: string | undefined): number | null {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
}
