import { milliText, sizeText } from './amounts.ts';
import type { Claim, Gpu, GpuSlice, NodeCapacity } from './types.ts';

export type AdmissionRequest = Pick<Claim, 'cpuMilli' | 'memoryBytes' | 'slices'> & {
  readonly gpuMilli: number;
};

type Admission = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/**
 * A node's own judgement of whether a replica may start now. This is what keeps a GPU from being given out twice,
 * whatever leaders, epochs or networks do, so it looks at nothing but this node.
 * @param held everything the node runs or drains, each until its exit was reaped, without the request itself
 * @returns a refusal says what is in the way: the replica waits and asks again when something has left
 */
export function admit(request: AdmissionRequest, held: readonly Claim[], capacity: NodeCapacity): Admission {
  const asked = sharesOf(request.slices);
  const reason =
    wrongSum(request) ??
    overcommittedGpu(asked, held, capacity) ??
    overcommittedMemory(request, held, capacity);
  return reason === null ? { ok: true } : { ok: false, reason };
}

function sharesOf(slices: readonly GpuSlice[]): Map<string, number> {
  const shares = new Map<string, number>();
  for (const { uuid, milli } of slices) shares.set(uuid, (shares.get(uuid) ?? 0) + milli);
  return shares;
}

function wrongSum(request: AdmissionRequest): string | null {
  const sumMilli = request.slices.reduce((sum, slice) => sum + slice.milli, 0);
  if (sumMilli === request.gpuMilli && request.slices.every((slice) => slice.milli > 0)) return null;
  return `its GPU slices add up to ${milliText(sumMilli)}, ${milliText(request.gpuMilli)} needed`;
}

function overcommittedGpu(
  asked: ReadonlyMap<string, number>,
  held: readonly Claim[],
  capacity: NodeCapacity,
): string | null {
  const taken = sharesOf(held.flatMap((claim) => claim.slices));
  for (const [uuid, askedMilli] of asked) {
    const gpu = capacity.gpus.find((candidate) => candidate.uuid === uuid);
    const reason = refusalByGpu(uuid, gpu, { askedMilli, takenMilli: taken.get(uuid) ?? 0 });
    if (reason !== null) return reason;
  }
  return null;
}

function refusalByGpu(
  uuid: string,
  gpu: Gpu | undefined,
  shares: { readonly askedMilli: number; readonly takenMilli: number },
): string | null {
  if (gpu === undefined) return `this node has no GPU ${uuid}`;
  if (!gpu.usable) return `GPU ${gpu.index} is unusable: ${gpu.reason ?? 'no reason was given'}`;
  if (shares.takenMilli + shares.askedMilli <= 1000) return null;
  const free = milliText(1000 - shares.takenMilli);
  return `GPU ${gpu.index} has ${free} free until a replica leaves, ${milliText(shares.askedMilli)} needed`;
}

function overcommittedMemory(
  request: AdmissionRequest,
  held: readonly Claim[],
  capacity: NodeCapacity,
): string | null {
  if (request.memoryBytes === 0) return null;
  const freeBytes = capacity.memoryBytes - held.reduce((sum, claim) => sum + claim.memoryBytes, 0);
  if (request.memoryBytes <= freeBytes) return null;
  return `${sizeText(freeBytes)} of ${sizeText(capacity.memoryBytes)} memory free until a replica leaves, ${sizeText(request.memoryBytes)} needed`;
}
