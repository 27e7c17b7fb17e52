import { milliText, sizeText } from './amounts.ts';
import type { Ledger } from './ledger.ts';
import type { Gpu, GpuSlice, PlacementRequest } from './types.ts';

/** A way to hold a request on a node; the smaller `gpuLeftMilli` is, the tighter it sits. */
export interface Fitting {
  readonly fits: true;
  readonly slices: readonly GpuSlice[];
  readonly gpuLeftMilli: number;
}

/** Why a node cannot hold a request: sentences that begin with the node. */
interface Misfit {
  readonly fits: false;
  readonly reasons: readonly string[];
}

/** Whether and how a node holds a request now. All reasons are given at once, so that a user need not guess twice. */
export function fitOnNode(request: PlacementRequest, ledger: Ledger): Fitting | Misfit {
  const { node } = ledger;
  const at = `node ${node.nodeId}:`;
  if (node.closed !== null) return { fits: false, reasons: [`${at} ${node.closed}`] };
  const gpu = fitOnGpus(request.gpuMilli, ledger);
  const reasons = [
    ...('reasons' in gpu ? gpu.reasons : []),
    ...cpuReasons(request, ledger),
    ...memoryReasons(request, ledger),
  ].map((reason) => `${at} ${reason}`);
  if ('reasons' in gpu || reasons.length > 0) return { fits: false, reasons };
  return { fits: true, ...gpu };
}

type GpuFit = Omit<Fitting, 'fits'> | Omit<Misfit, 'fits'>;

function fitOnGpus(gpuMilli: number, ledger: Ledger): GpuFit {
  if (gpuMilli === 0) return { slices: [], gpuLeftMilli: 0 };
  if (ledger.node.capacity.gpus.length === 0) return { reasons: [`no GPU, ${milliText(gpuMilli)} needed`] };
  return gpuMilli < 1000 ? fitShare(gpuMilli, ledger) : fitWhole(gpuMilli, ledger);
}

function fitShare(gpuMilli: number, ledger: Ledger): GpuFit {
  const { gpus } = ledger.node.capacity;
  const best = gpus
    .filter((gpu) => gpu.usable && freeMilli(ledger, gpu) >= gpuMilli)
    .sort((left, right) => freeMilli(ledger, left) - freeMilli(ledger, right) || left.index - right.index)[0];
  if (best !== undefined) {
    return { slices: [sliceOf(best, gpuMilli)], gpuLeftMilli: freeMilli(ledger, best) - gpuMilli };
  }
  return {
    reasons: gpus.map((gpu) => {
      if (!gpu.usable) return unusableReason(gpu);
      return `${gpuText(gpu)} has ${milliText(freeMilli(ledger, gpu))} free, ${milliText(gpuMilli)} needed`;
    }),
  };
}

function fitWhole(gpuMilli: number, ledger: Ledger): GpuFit {
  const { gpus } = ledger.node.capacity;
  const needed = Math.ceil(gpuMilli / 1000);
  const free = gpus
    .filter((gpu) => gpu.usable && freeMilli(ledger, gpu) === 1000)
    .sort((left, right) => left.index - right.index);
  if (free.length >= needed) {
    return {
      slices: free.slice(0, needed).map((gpu) => sliceOf(gpu, 1000)),
      gpuLeftMilli: (free.length - needed) * 1000,
    };
  }
  return {
    reasons: [
      `${free.length} of ${gpus.length} GPUs entirely free, ${needed} needed`,
      ...gpus.filter((gpu) => !gpu.usable).map(unusableReason),
    ],
  };
}

function cpuReasons(request: PlacementRequest, ledger: Ledger): string[] {
  if (request.mayExceedCpu || request.cpuMilli === 0 || request.cpuMilli <= ledger.cpuFreeMilli) return [];
  const total = milliText(ledger.node.capacity.cpuMilli);
  return [`${milliText(ledger.cpuFreeMilli)} of ${total} CPUs free, ${milliText(request.cpuMilli)} needed`];
}

function memoryReasons(request: PlacementRequest, ledger: Ledger): string[] {
  if (request.memoryBytes === 0 || request.memoryBytes <= ledger.memoryFreeBytes) return [];
  const total = sizeText(ledger.node.capacity.memoryBytes);
  return [
    `${sizeText(ledger.memoryFreeBytes)} of ${total} memory free, ${sizeText(request.memoryBytes)} needed`,
  ];
}

function freeMilli(ledger: Ledger, gpu: Gpu): number {
  return ledger.gpuFreeMilli.get(gpu.uuid) ?? 0;
}

function sliceOf(gpu: Gpu, milli: number): GpuSlice {
  return { uuid: gpu.uuid, index: gpu.index, milli };
}

function gpuText(gpu: Gpu): string {
  return `GPU ${gpu.index}${gpu.virtual ? ' (virtual)' : ''}`;
}

function unusableReason(gpu: Gpu): string {
  return `${gpuText(gpu)} is unusable: ${gpu.reason ?? 'no reason was given'}`;
}
