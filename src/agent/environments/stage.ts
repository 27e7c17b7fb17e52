import { chmod, cp, readdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { hashOf } from '../../lib/hash.ts';
import type { Progress } from '../../lib/shared-work.ts';
import { buildOnce } from './build-once.ts';
import type { PackageInPlace } from './plan.ts';
import { noteUse } from './uses.ts';

/** Code that lies where it can be run from. */
export interface StagedCode {
  /** holds `algopkg/<package>/` */
  readonly codeDir: string;
  /** what it was built in */
  readonly folder: string;
}

/**
 * Puts the code of a JavaScript package beside its packages, once: a copy whose `node_modules` is the environment's.
 * @param modules folder of the environment's packages; null: it has none
 */
export async function stageCode(
  inPlace: PackageInPlace,
  modules: string | null,
  { stageDir, progress }: { readonly stageDir: string; readonly progress: Progress },
): Promise<StagedCode> {
  const { packageName, packageHash } = inPlace;
  const suffix = modules === null ? 'plain' : hashOf(modules).slice(0, 16);
  const folder = join(stageDir, `${packageHash}-${suffix}`);
  const codeDir = await buildOnce({
    ...progress,
    folder,
    description: `code of ${packageName}`,
    build: (dir) => copyWithModules(inPlace, dir, modules),
  });
  await noteUse(folder, packageName, packageHash);
  return { codeDir, folder };
}

async function copyWithModules(
  { packageDir, packageName }: PackageInPlace,
  dir: string,
  modules: string | null,
): Promise<void> {
  const target = join(dir, 'algopkg', packageName);
  await copyWritable(packageDir, target);
  if (modules !== null) await symlink(modules, join(target, 'node_modules'));
}

/** Snapshots are read-only; the copies are not, because runners put compiled code beside the source. */
export async function copyWritable(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true });
  await chmod(to, 0o700);
  for (const entry of await readdir(to, { withFileTypes: true, recursive: true })) {
    if (!entry.isSymbolicLink()) await chmod(join(entry.parentPath, entry.name), 0o700);
  }
}
