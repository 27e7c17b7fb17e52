import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { type ReplicaOptions, startReplica, type TestReplica } from './replica-harness.ts';

const ROOT = resolve(import.meta.dirname, '../../..');

export interface BuiltRunner {
  /** path of main.js */
  readonly main: string;
  readonly remove: () => Promise<void>;
}

/**
 * The runner as JavaScript in a temporary folder: Node 20 cannot start a .ts file, and a test shall not depend on whether and when
 * dist/ was built. Entries keep their relative places, which they find each other by.
 */
export async function buildRunner(): Promise<BuiltRunner> {
  const folder = await mkdtemp(join(tmpdir(), 'modelserve-runner-'));
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const source = join(ROOT, 'src/runner/javascript');
  await build({
    entryPoints: [join(source, 'main.ts'), join(source, 'thread-worker.ts')],
    outdir: folder,
    bundle: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'silent',
  });
  return { main: join(folder, 'main.js'), remove: () => rm(folder, { recursive: true, force: true }) };
}

/** Builds the runner for a file of tests. @returns starts a replica, which ends with its test */
export function replicasOfEachTest(): (options: Omit<ReplicaOptions, 'main'>) => Promise<TestReplica> {
  let runner: BuiltRunner;
  const started: TestReplica[] = [];
  beforeAll(async () => {
    runner = await buildRunner();
  });
  afterEach(async () => {
    await Promise.all(started.splice(0).map((replica) => replica.stop()));
  });
  afterAll(() => runner?.remove());
  return async (options) => {
    const replica = await startReplica({ main: runner.main, ...options });
    started.push(replica);
    return replica;
  };
}
