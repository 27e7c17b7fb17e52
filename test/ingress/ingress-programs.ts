import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

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
