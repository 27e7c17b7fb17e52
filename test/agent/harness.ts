import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { type Contents, Preparations } from '../../src/agent/environments/preparations.ts';
import type { PrepareOptions } from '../../src/agent/environments/prepare-backend.ts';
import { Claims } from '../../src/agent/replicas/claims.ts';
import { LIFE_SIGN_LIMITS, type LifeSignLimits } from '../../src/agent/replicas/hang.ts';
import { ReplicaRecords } from '../../src/agent/replicas/records.ts';
import { ReplicaSet } from '../../src/agent/replicas/replica-set.ts';
import { WorkBook } from '../../src/agent/replicas/work-book.ts';
import type { Gpu, NodeCapacity } from '../../src/cluster/placement/types.ts';
import type { ReplicaAssignment, ReplicaStatus } from '../../src/cluster/replicas/types.ts';
import type { PinnedSpec } from '../../src/cluster/spec/types.ts';
import { NodeValues } from '../../src/config/node-values.ts';
import { type StatePaths, statePaths } from '../../src/config/paths.ts';
import { silentLog } from '../../src/lib/log.ts';
import { killSession } from '../../src/lib/process/signals.ts';
import { SharedWork } from '../../src/lib/shared-work.ts';
import { gpu, pinnedSpec, type SpecOver } from '../cluster/builders.ts';
import { tempDir } from '../support/temp-dir.ts';

const FAKE_RUNNER = fileURLToPath(new URL('./fixtures/fake-runner.mjs', import.meta.url));
const PYTHON_RUNNER = fileURLToPath(new URL('../../src/runner/python/main.py', import.meta.url));

/** How the fake runner behaves; fixtures/fake-runner.mjs says what each does. */
export interface Fake {
  readonly missingModule?: string;
  readonly importError?: string;
  readonly importDelayMs?: number;
  readonly failStart?: string;
  readonly dieAtStart?: number;
  readonly lastNote?: string;
  readonly startDelayMs?: number;
  readonly fork?: boolean;
  readonly drainMs?: number;
  readonly drainUntil?: string;
  readonly reconfigure?: 'unsupported' | 'failed';
  readonly unhealthy?: string;
  readonly silentAfterMs?: number;
  readonly busyAfterMs?: number;
}

/** A node's folders, its package `Echo`, and what its replicas write down. */
export interface Workplace {
  readonly paths: StatePaths;
  readonly journal: string;
  /** lines that fake runners wrote */
  readonly events: () => readonly string[];
  readonly assignment: (replicaId: string, fake?: Fake, over?: AssignmentOver) => ReplicaAssignment;
  readonly prepareOptions: { -readonly [Key in keyof PrepareOptions]: PrepareOptions[Key] };
}

export interface AssignmentOver {
  readonly spec?: SpecOver;
  readonly slices?: ReplicaAssignment['slices'];
  readonly desired?: 'run' | 'drain';
  readonly revision?: number;
}

export function baseEnv(): Record<string, string> {
  const { PATH = '', HOME = '', PYENV_ROOT } = process.env;
  return { PATH, HOME, ...(PYENV_ROOT === undefined ? {} : { PYENV_ROOT }) };
}

export function prepareOptions(paths: StatePaths, over: Partial<PrepareOptions> = {}): PrepareOptions {
  return {
    environmentsDir: paths.environments,
    stageDir: paths.stage,
    runners: { python: PYTHON_RUNNER, javascript: FAKE_RUNNER },
    version: '0',
    builds: new SharedWork(),
    nodePath: process.execPath,
    nodeVersion: process.versions.node,
    baseEnv: baseEnv(),
    values: new NodeValues({}, 'n1'),
    ...over,
  };
}

/** @param variables that the node was started with */
export function workplace(variables: Readonly<Record<string, string>> = {}): Workplace {
  const root = tempDir();
  const paths = { ...statePaths(root), sockets: join(root, 's') };
  const journal = join(root, 'journal');
  const snapshotDir = join(paths.snapshots, 'p');
  mkdirSync(join(snapshotDir, 'algopkg', 'Echo'), { recursive: true });
  writeFileSync(join(snapshotDir, 'algopkg', 'Echo', 'backend.js'), '// the fake runner needs none\n');
  const read = (): readonly string[] =>
    existsSync(journal) ? readFileSync(journal, 'utf8').trimEnd().split('\n') : [];
  return {
    paths,
    journal,
    events: read,
    prepareOptions: prepareOptions(paths, { values: new NodeValues(variables, 'n1') }),
    assignment: (replicaId, fake = {}, over = {}) => ({
      replicaId,
      deployment: over.spec?.name ?? 'Echo',
      revision: over.revision ?? 1,
      desired: over.desired ?? 'run',
      slices: over.slices ?? [],
      spec: pinnedSpec({
        language: 'javascript',
        projectDir: root,
        package: { hash: 'p', snapshotDir },
        env: { FAKE: JSON.stringify({ journal, ...fake }) },
        minReadyMs: 0,
        gracefulShutdownTimeoutMs: 10_000,
        ...over.spec,
      }),
    }),
  };
}

export interface TestSet {
  readonly works: WorkBook;
  readonly set: ReplicaSet;
  readonly claims: Claims;
  /** the capacity from now on */
  readonly resize: (capacity: NodeCapacity) => void;
  readonly status: (replicaId: string) => ReplicaStatus | undefined;
}

/** Packages and models lie where specs say. */
export const ALL_HERE: Contents = {
  obtain: async (spec) => spec,
  obtainModels: async (spec) => spec,
  enter: async () => ({}),
  coming: () => null,
  want: () => undefined,
};

/** Nobody looks at the models. */
export const NO_AGENTS = { load: async (spec: PinnedSpec) => spec, tell: () => undefined };

/** The replicas of one agent; whatever it started is gone when the test ends. */
export function replicaSet(place: Workplace, lifeSignLimits: LifeSignLimits = LIFE_SIGN_LIMITS): TestSet {
  let capacity: NodeCapacity = { cpuMilli: 4_000, memoryBytes: 2 ** 30, gpus: gpus(2) };
  const claims = new Claims(() => capacity);
  const preparations = new Preparations(place.prepareOptions, ALL_HERE, NO_AGENTS);
  const records = new ReplicaRecords(place.paths.processes);
  const works = new WorkBook();
  const set = new ReplicaSet(
    { nodeId: 'n1', paths: place.paths, lifeSignLimits },
    {
      ...{ preparations, claims, records, log: silentLog, nowMs: Date.now },
      ...{ agents: NO_AGENTS, contents: ALL_HERE, values: place.prepareOptions.values },
      works,
      onChange: () => undefined,
    },
  );
  onTestFinished(async () => {
    await preparations.stop();
    await set.leave();
    for (const { identity } of records.readAll()) if (identity !== null) await killSession(identity.pid);
  });
  return {
    set,
    claims,
    works,
    resize: (next) => {
      capacity = next;
      claims.recheck();
    },
    status: (replicaId) => set.statuses.find(({ assignment }) => assignment.replicaId === replicaId),
  };
}

export function gpus(count: number): readonly Gpu[] {
  return Array.from({ length: count }, (_, index) => gpu('n1', index));
}
