import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { forkProcess } from '../../src/lib/process/fork.ts';
import { TestNode } from './test-node.ts';

export interface IngressPrograms {
  readonly main: string;
  readonly helper: string;
  remove(): void;
}

/** The programs of an ingress as files that can run as processes of their own: bundled where their packages are found. */
export async function bundleIngressPrograms(): Promise<IngressPrograms> {
  const root = join(import.meta.dirname, '../..');
  const folder = join(root, `node_modules/.ingress-programs-test-${process.pid}-${Date.now()}`);
  await build({
    entryPoints: ['ingress-main', 'ingress-helper-main'].map((name) => join(root, `src/roles/${name}.ts`)),
    outdir: folder,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    logLevel: 'silent',
  });
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  return {
    main: join(folder, 'ingress-main.js'),
    helper: join(folder, 'ingress-helper-main.js'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Each test of the file gets a node whose ingress can have helpers: processes, as they always are. @param use given the node */
export function eachWithHelpers(use: (node: TestNode) => void): void {
  let programs: IngressPrograms;
  let node: TestNode;
  beforeAll(async () => {
    programs = await bundleIngressPrograms();
  });
  afterAll(() => programs.remove());
  beforeEach(() => {
    node = new TestNode();
    node.forkHelper = () => forkProcess(programs.helper, [join(node.paths.logs, 'ingress.log')]);
    use(node);
  });
  afterEach(async () => await node.close());
}
