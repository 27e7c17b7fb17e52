import type { Gpu } from '../../cluster/placement/types.ts';

const MIB = 1024 * 1024;

export const QUERY_ARGUMENTS = [
  '--query-gpu=index,uuid,name,memory.total,memory.used,utilization.gpu',
  '--format=csv,noheader,nounits',
] as const;

/** How a GPU is used; null: the driver does not say (a share of a card has no utilization). */
export interface GpuUse {
  readonly memoryUsedBytes: number | null;
  /** 0 to 1 */
  readonly busy: number | null;
}

export interface QueryAnswer {
  readonly gpus: readonly Gpu[];
  /** by UUID */
  readonly uses: ReadonlyMap<string, GpuUse>;
  /** lines that describe no GPU: what the driver complains about */
  readonly complaints: readonly string[];
}

/** Reads what `nvidia-smi` printed for QUERY_ARGUMENTS. A lost card's line, or none at all, becomes a complaint. */
export function parseQuery(output: string): QueryAnswer {
  const gpus: Gpu[] = [];
  const complaints: string[] = [];
  const uses = new Map<string, GpuUse>();
  for (const line of output.split('\n').map((text) => text.trim())) {
    if (line === '') continue;
    const gpu = parseLine(line);
    if (gpu === null) complaints.push(line);
    else {
      gpus.push(gpu);
      uses.set(gpu.uuid, useIn(line));
    }
  }
  return { gpus, complaints, uses };
}

function parseLine(line: string): Gpu | null {
  const match = /^(\d+), (GPU-[0-9a-zA-Z-]+), (.+?), (\d+)(?:, [^,]*, [^,]*)?$/.exec(line);
  if (match === null) return null;
  return {
    index: Number(match[1]),
    uuid: match[2] ?? '',
    name: match[3] ?? '',
    memoryBytes: Number(match[4]) * MIB,
    virtual: false,
    usable: true,
    reason: null,
  };
}

/** The last two of six fields, where they are numbers. */
function useIn(line: string): GpuUse {
  const fields = line.split(', ');
  const [used = '', busy = ''] = fields.length >= 6 ? fields.slice(-2) : [];
  return {
    memoryUsedBytes: /^\d+$/.test(used) ? Number(used) * MIB : null,
    busy: /^\d+$/.test(busy) ? Number(busy) / 100 : null,
  };
}

/**
 * Which of the machine's GPUs a process may use whose CUDA_VISIBLE_DEVICES is `visible`: indexes, or UUIDs that may be
 * cut short. As in CUDA, the first entry that names no GPU hides all after it.
 * @param visible null: the variable is not set, every GPU is visible
 */
export function visibleGpus(gpus: readonly Gpu[], visible: string | null): readonly Gpu[] {
  if (visible === null) return gpus;
  const chosen: Gpu[] = [];
  for (const entry of entriesOf(visible)) {
    const gpu = gpus.find(({ index, uuid }) =>
      /^\d+$/.test(entry) ? index === Number(entry) : entry.length > 4 && uuid.startsWith(entry),
    );
    if (gpu === undefined) break;
    if (!chosen.includes(gpu)) chosen.push(gpu);
  }
  return chosen;
}

/**
 * GPUs that a person declared with --num-gpus. Where CUDA_VISIBLE_DEVICES names enough indexes they stand for these,
 * else they count from 0.
 */
export function declaredGpus(nodeId: string, count: number, visible: string | null): readonly Gpu[] {
  const listed = visible === null ? [] : entriesOf(visible).filter((entry) => /^\d+$/.test(entry));
  return Array.from({ length: count }, (_, position) => ({
    index: listed.length >= count ? Number(listed[position]) : position,
    uuid: `virtual-${nodeId}-${position}`,
    name: 'declared with --num-gpus',
    memoryBytes: 0,
    virtual: true,
    usable: true,
    reason: null,
  }));
}

function entriesOf(visible: string): readonly string[] {
  return visible
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}

/**
 * What is known after a probe: GPUs that answered, and those known from before that did not, which stay listed as
 * unusable (replicas still hold them) until they answer again.
 */
export function mergeProbe(
  known: readonly Gpu[],
  answer: Pick<QueryAnswer, 'gpus' | 'complaints'>,
  failure: string | null,
): readonly Gpu[] {
  const missing = known
    .filter((gpu) => !answer.gpus.some(({ uuid }) => uuid === gpu.uuid))
    .map((gpu) => ({ ...gpu, usable: false, reason: failure ?? lossOf(gpu, answer.complaints) }));
  return [...answer.gpus, ...missing].sort((left, right) => left.index - right.index);
}

function lossOf(gpu: Gpu, complaints: readonly string[]): string {
  const complaint = complaints.find((line) => line.includes(gpu.uuid)) ?? complaints[0];
  const loss = 'nvidia-smi does not list it any more';
  return complaint === undefined ? loss : `${loss}; it says: ${complaint}`;
}
