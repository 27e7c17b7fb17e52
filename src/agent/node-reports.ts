import { cpus, freemem, totalmem } from 'node:os';
import type {
  BuildsSample,
  EnvironmentSample,
  GpuSample,
  IngressSample,
  MachineSample,
  NodeSample,
  ReplicaWork,
} from '../cluster/metrics/samples.ts';
import type { Gpu } from '../cluster/placement/types.ts';
import type { ReplicaStatus } from '../cluster/replicas/types.ts';
import type { StatePaths } from '../config/paths.ts';
import { folderSizeBytes } from '../lib/files.ts';
import type { ProcessSampler } from '../telemetry/process-sampler.ts';
import { type BuiltFolder, listBuilt } from './environments/built-folders.ts';
import type { GpuProcess } from './gpus/processes.ts';
import type { GpuUse } from './gpus/query.ts';
import { replicaGpuSamples } from './gpus/replica-uses.ts';

export interface NodeReportsDependencies {
  readonly nodeId: string;
  readonly paths: Pick<StatePaths, 'environments'>;
  readonly sampler: Pick<ProcessSampler, 'sample'>;
  /** @throws where it does not answer */
  readonly ingress: () => Promise<IngressSample>;
  readonly gpus: () => readonly Gpu[];
  readonly gpuUses: () => ReadonlyMap<string, GpuUse>;
  readonly gpuProcesses: () => readonly GpuProcess[];
  readonly replicas: () => readonly ReplicaStatus[];
  readonly modelBytes: () => Promise<number>;
  readonly builds: () => BuildsSample;
  readonly works: () => readonly ReplicaWork[];
}

/** What is looked up on the disk is as old as this at most. */
const DISK_FRESH_MS = 60_000;

/** What this node says of itself when the head asks. */
export class NodeReports {
  readonly #dependencies: NodeReportsDependencies;
  /** of finished environments, which do not change */
  readonly #sizes = new Map<string, number>();
  #disk: Promise<Pick<NodeSample, 'environments' | 'modelBytes'>> | null = null;
  #diskReadMs = Number.NEGATIVE_INFINITY;

  constructor(dependencies: NodeReportsDependencies) {
    this.#dependencies = dependencies;
  }

  async measure(): Promise<NodeSample> {
    const { nodeId, sampler, ingress, gpus, gpuUses, gpuProcesses, replicas, builds, works } =
      this.#dependencies;
    const [disk, counted] = await Promise.all([this.#readDisk(), ingress().catch(() => null)]);
    const uses = gpuUses();
    return {
      ...{ nodeId, atMs: Date.now(), ingress: counted, process: sampler.sample, ...disk },
      ...{ machine: machineSample(), builds: builds(), works: works() },
      gpus: gpus()
        .filter(({ virtual }) => !virtual)
        .map((gpu) => gpuSample(gpu, uses.get(gpu.uuid))),
      replicaGpus: replicaGpuSamples(gpus(), gpuProcesses(), replicas()),
    };
  }

  async environments(): Promise<readonly EnvironmentSample[]> {
    const built = await listBuilt(this.#dependencies.paths.environments);
    return await Promise.all(
      built.map(async (one) => ({
        ...{ key: one.key, state: one.state, description: one.description },
        packages: [...new Set(one.uses.map(({ packageName }) => packageName))].sort(),
        packageHashes: [...new Set(one.uses.map(({ hash }) => hash))],
        sizeBytes: await this.#sizeOf(one),
        lastUsed: new Date(one.lastUsedMs).toISOString(),
      })),
    );
  }

  #readDisk(): Promise<Pick<NodeSample, 'environments' | 'modelBytes'>> {
    if (this.#disk === null || performance.now() - this.#diskReadMs > DISK_FRESH_MS) {
      this.#diskReadMs = performance.now();
      this.#disk = this.#lookAtDisk();
    }
    return this.#disk;
  }

  async #lookAtDisk(): Promise<Pick<NodeSample, 'environments' | 'modelBytes'>> {
    const { paths, modelBytes } = this.#dependencies;
    const built = await listBuilt(paths.environments).catch(() => []);
    const countOf = (state: BuiltFolder['state']): number =>
      built.filter((one) => one.state === state).length;
    const environments = { ready: countOf('ready'), building: countOf('building') };
    return { environments, modelBytes: await modelBytes().catch(() => 0) };
  }

  async #sizeOf({ key, folder, state }: BuiltFolder): Promise<number> {
    const known = this.#sizes.get(key);
    if (state === 'ready' && known !== undefined) return known;
    const sizeBytes = await folderSizeBytes(folder);
    if (state === 'ready') this.#sizes.set(key, sizeBytes);
    return sizeBytes;
  }
}

function machineSample(): MachineSample {
  const times = cpus().map((cpu) => cpu.times);
  const sumS = (of: (time: (typeof times)[number]) => number): number =>
    times.reduce((sum, time) => sum + of(time), 0) / 1000;
  const idleS = sumS(({ idle }) => idle);
  const totalS = sumS(({ user, nice, sys, idle, irq }) => user + nice + sys + idle + irq);
  return {
    cpuBusyS: totalS - idleS,
    cpuTotalS: totalS,
    memoryUsedBytes: totalmem() - freemem(),
    memoryTotalBytes: totalmem(),
  };
}

function gpuSample({ index, uuid, memoryBytes }: Gpu, use: GpuUse | undefined): GpuSample {
  return {
    ...{ index, uuid, memoryTotalBytes: memoryBytes },
    busy: use?.busy ?? null,
    memoryUsedBytes: use?.memoryUsedBytes ?? null,
  };
}
