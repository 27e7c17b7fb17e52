import { chmod, chown, cp, mkdir, readdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { hashOf } from '../../lib/hash.ts';
import type { Progress } from '../../lib/shared-work.ts';
import type { User } from '../run-as/user.ts';
import { buildOnce } from './build-once.ts';
import type { PackageInPlace } from './plan.ts';
import { noteUse } from './uses.ts';

/** See importableBackend of the runner. */
const COMPILED_FOLDER = '.modelserve';

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
 * @param user who shall run it: has a copy apart, since what is compiled beside it is believed
 */
export async function stageCode(
  inPlace: PackageInPlace,
  modules: string | null,
  {
    stageDir,
    progress,
    user,
  }: { readonly stageDir: string; readonly progress: Progress; readonly user: User | null },
): Promise<StagedCode> {
  const { packageName, packageHash } = inPlace;
  const suffix = modules === null ? 'plain' : hashOf(modules).slice(0, 16);
  const whose = user === null ? '' : `-u${user.uid}`;
  const folder = join(stageDir, `${packageHash}-${suffix}${whose}`);
  const codeDir = await buildOnce({
    ...progress,
    folder,
    description: `code of ${packageName}`,
    build: async (dir) => {
      const target = await copyWithModules(inPlace, dir, modules);
      if (user !== null) await giveCompiled(target, user);
    },
  });
  await noteUse(folder, packageName, packageHash);
  return { codeDir, folder };
}

async function copyWithModules(
  { packageDir, packageName }: PackageInPlace,
  dir: string,
  modules: string | null,
): Promise<string> {
  const target = join(dir, 'algopkg', packageName);
  await copyWritable(packageDir, target);
  if (modules !== null) await symlink(modules, join(target, 'node_modules'));
  return target;
}

/** The one place in its package that the runner writes to. */
async function giveCompiled(packageDir: string, { uid, gid }: User): Promise<void> {
  const folder = join(packageDir, COMPILED_FOLDER);
  await mkdir(folder, { recursive: true });
  await chown(folder, uid, gid);
}

/** Snapshots are read-only; the copies are not, because runners put compiled code beside the source. Others may read them. */
export async function copyWritable(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true });
  await chmod(to, 0o755);
  for (const entry of await readdir(to, { withFileTypes: true, recursive: true })) {
    if (!entry.isSymbolicLink()) await chmod(join(entry.parentPath, entry.name), 0o755);
  }
}
