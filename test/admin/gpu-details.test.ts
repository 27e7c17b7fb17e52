import { expect, it } from 'vitest';
import { gpuDetails } from '../../src/admin/answers/gpu-details.ts';
import type { NodeSample, ReplicaGpuSample } from '../../src/cluster/metrics/samples.ts';
import type { StatusDocument } from '../../src/cluster/status/types.ts';

const card = { index: 0, uuid: 'GPU-1', name: 'H200', virtual: false, usable: true, reason: null, free: 0.5 };
const node = { id: 'n1', alive: true, gpus: [card] };
const holder = { id: 'Echo-1', node: 'n1', gpus: [{ index: 0, uuid: 'GPU-1', fraction: 0.5 }] };
const guest = { id: 'Echo-2', node: 'n1', gpus: [] };

function statusOf(...nodes: readonly object[]): StatusDocument {
  return { nodes, deployments: [{ name: 'Echo', replicas: [holder, guest] }] } as unknown as StatusDocument;
}

function sampleOf(...replicaGpus: readonly Partial<ReplicaGpuSample>[]): NodeSample {
  const gpus = [{ index: 0, uuid: 'GPU-1', busy: null, memoryUsedBytes: 900, memoryTotalBytes: 1_000 }];
  const here = replicaGpus.map((one) => ({ deployment: 'Echo', index: 0, uuid: 'GPU-1', share: 0, ...one }));
  return { nodeId: 'n1', gpus, replicaGpus: here } as unknown as NodeSample;
}

const nothing = { memory_used_bytes: null, busy: null };
const held = { replica: 'Echo-1', deployment: 'Echo', fraction: 0.5 };

it('knows who holds a share before anything is measured', () => {
  expect(gpuDetails(statusOf(node), [])).toEqual([
    {
      ...{ node: 'n1', ...card, memory_bytes: null, ...nothing },
      replicas: [{ ...held, memory_share_bytes: null, ...nothing }],
    },
  ]);
});

it('adds what is used, by those without a share as well, of nobody else', () => {
  const sample = sampleOf(
    { replicaId: 'Echo-1', share: 0.5, memoryUsedBytes: 600, busy: 0.25 },
    { replicaId: 'Echo-2', memoryUsedBytes: 7, busy: null },
    { replicaId: 'Gone-1', memoryUsedBytes: 8, busy: null },
  );
  expect(gpuDetails(statusOf(node), [sample])).toEqual([
    {
      ...{ node: 'n1', ...card, memory_bytes: 1_000, memory_used_bytes: 900, busy: null },
      replicas: [
        { ...held, memory_share_bytes: 500, memory_used_bytes: 600, busy: 0.25 },
        {
          ...{ replica: 'Echo-2', deployment: 'Echo', fraction: 0, memory_share_bytes: 0 },
          ...{ memory_used_bytes: 7, busy: null },
        },
      ],
    },
  ]);
});

it('says nothing of what a lost node’s replicas used', () => {
  const sample = sampleOf({ replicaId: 'Echo-1', share: 0.5, memoryUsedBytes: 600, busy: 0.25 });
  const [gpu] = gpuDetails(statusOf({ ...node, alive: false }), [sample]);
  expect(gpu?.replicas).toEqual([{ ...held, memory_share_bytes: 500, ...nothing }]);
});
