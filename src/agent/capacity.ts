import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { dirname, join } from 'node:path';

export interface HostCapacity {
  readonly cpuMilli: number;
  readonly memoryBytes: number;
}

/** Where the kernel shows what a container may use; replaced in tests. */
export interface CgroupFiles {
  /** `0::/path` names the group of this process */
  readonly membership: string;
  readonly mount: string;
}

const CGROUP: CgroupFiles = { membership: '/proc/self/cgroup', mount: '/sys/fs/cgroup' };

/**
 * CPUs and memory this node may promise: what the machine has, or what the control group (v2) of this process and
 * those above it leave of it.
 * @param declaredCpus --num-cpus, null for what is found
 */
export function hostCapacity(declaredCpus: number | null, files: CgroupFiles = CGROUP): HostCapacity {
  const groups = groupFolders(files);
  const cpuLimits = groups.map((folder) => cpuLimitMilli(readOrNull(join(folder, 'cpu.max'))));
  const memoryLimits = groups.map((folder) => memoryLimitBytes(readOrNull(join(folder, 'memory.max'))));
  const foundMilli = Math.min(availableParallelism() * 1000, ...cpuLimits);
  return {
    cpuMilli: declaredCpus === null ? foundMilli : Math.round(declaredCpus * 1000),
    memoryBytes: Math.min(totalmem(), ...memoryLimits),
  };
}

/** The folder of the process' group and of each group around it. */
function groupFolders({ membership, mount }: CgroupFiles): readonly string[] {
  const line = (readOrNull(membership) ?? '').split('\n').find((text) => text.startsWith('0::/'));
  if (line === undefined) return [];
  const folders: string[] = [];
  for (let path = line.slice(3); ; path = dirname(path)) {
    folders.push(join(mount, path));
    if (path === '/') return folders;
  }
}

function cpuLimitMilli(text: string | null): number {
  const [quota, period] = (text ?? 'max').trim().split(' ').map(Number);
  const limitMilli = Math.floor(((quota ?? Number.NaN) / (period ?? Number.NaN)) * 1000);
  return limitMilli > 0 ? limitMilli : Number.POSITIVE_INFINITY;
}

function memoryLimitBytes(text: string | null): number {
  const limitBytes = Number((text ?? 'max').trim());
  return limitBytes > 0 ? limitBytes : Number.POSITIVE_INFINITY;
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
