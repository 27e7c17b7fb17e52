import { chmod, copyFile, cp, readdir, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { messageOf } from '../../lib/errors.ts';
import { readIfThere } from '../../lib/files.ts';
import { hashOf } from '../../lib/hash.ts';
import { findProgram, isProgram } from '../../lib/process/find-program.ts';
import { buildOnce, type OnProgress } from './build-once.ts';
import { runStep } from './build-step.ts';
import { PreparationError } from './preparation-error.ts';

export interface NodeRequest {
  /** the node program that will run the backend */
  readonly nodePath: string;
  /** of that program: native modules are compiled for it */
  readonly nodeVersion: string;
  readonly packageName: string;
  /** the package in its snapshot */
  readonly packageDir: string;
  readonly packageHash: string;
  readonly environmentsDir: string;
  readonly stageDir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal;
}

interface Manifest {
  readonly packageJson: string;
  readonly lock: string | null;
}

/**
 * The environment of a JavaScript package and its code beside it: a copy of the package whose `node_modules` is the
 * environment's. Returned is the folder that holds `algopkg/<package>/`.
 * @throws PreparationError ENVIRONMENT_TOOL_MISSING or ENVIRONMENT_FAILED
 */
export async function nodeEnvironment(request: NodeRequest): Promise<string> {
  const { packageDir, packageName, packageHash, stageDir } = request;
  const manifest = await readManifest(packageDir, packageName);
  const modules = manifest === null ? null : await installed(request, manifest);
  const suffix = modules === null ? 'plain' : hashOf(modules).slice(0, 16);
  return buildOnce({
    folder: join(stageDir, `${packageHash}-${suffix}`),
    build: (dir) => stage(request, dir, modules),
    onProgress: request.onProgress,
    signal: request.signal,
  });
}

/** @returns null where the package depends on nothing */
async function readManifest(packageDir: string, packageName: string): Promise<Manifest | null> {
  const packageJson = await readIfThere(join(packageDir, 'package.json'));
  if (packageJson === null) return null;
  let dependencies: Record<string, unknown>;
  try {
    const parsed = JSON.parse(packageJson) as Record<string, Record<string, unknown>>;
    dependencies = { ...parsed['dependencies'], ...parsed['optionalDependencies'] };
  } catch (error) {
    throw new PreparationError(
      'ENVIRONMENT_FAILED',
      `algopkg/${packageName}/package.json is no JSON object: ${messageOf(error)}`,
    );
  }
  if (Object.keys(dependencies).length === 0) return null;
  return { packageJson, lock: await readIfThere(join(packageDir, 'package-lock.json')) };
}

/** The folder `node_modules` with the package's dependencies, built once per content of package.json and its lock. */
async function installed(request: NodeRequest, manifest: Manifest): Promise<string> {
  const key = hashOf({
    ...manifest,
    // Dependencies inside the package (file:, link:, workspaces) are covered by the package's hash only.
    package: namesFiles(manifest) ? request.packageHash : null,
    node: [request.nodeVersion, process.platform, process.arch],
  }).slice(0, 32);
  const dir = await buildOnce({
    folder: join(request.environmentsDir, `node-${key}`),
    build: (target, say) => install(request, { manifest, target, say }),
    onProgress: request.onProgress,
    signal: request.signal,
  });
  return join(dir, 'node_modules');
}

async function install(
  request: NodeRequest,
  {
    manifest,
    target,
    say,
  }: { readonly manifest: Manifest; readonly target: string; readonly say: OnProgress },
): Promise<void> {
  const { packageDir, packageName } = request;
  const besideNode = dirname(request.nodePath);
  const searchPath = `${besideNode}:${request.env['PATH'] ?? ''}`;
  const npm = findNpm(besideNode, searchPath);
  if (npm === null) {
    throw new PreparationError(
      'ENVIRONMENT_TOOL_MISSING',
      `algopkg/${packageName} has dependencies, but npm is neither beside ${request.nodePath} nor on the PATH; install npm`,
    );
  }
  if (namesFiles(manifest)) await copyWritable(packageDir, target);
  else await copyManifest(packageDir, target, manifest);
  const args = [manifest.lock === null ? 'install' : 'ci', '--omit=dev', '--no-audit', '--no-fund'];
  await runStep(
    {
      title: `$ npm ${args.join(' ')}`,
      command: npm,
      args,
      cwd: target,
      env: { ...request.env, PATH: searchPath },
      failure: `npm cannot install the dependencies of algopkg/${packageName}/package.json`,
    },
    say,
    request.signal,
  );
}

function findNpm(besideNode: string, searchPath: string): string | null {
  const own = join(besideNode, 'npm');
  return isProgram(own) ? own : findProgram('npm', searchPath);
}

async function copyManifest(from: string, to: string, { lock }: Manifest): Promise<void> {
  const names = lock === null ? ['package.json'] : ['package.json', 'package-lock.json'];
  for (const name of names) {
    await copyFile(join(from, name), join(to, name));
    await chmod(join(to, name), 0o600);
  }
}

function namesFiles({ packageJson, lock }: Manifest): boolean {
  return /"(file|link|workspace):|"workspaces"/.test(packageJson) || /"(file|link):/.test(lock ?? '');
}

async function stage(
  { packageDir, packageName }: NodeRequest,
  dir: string,
  modules: string | null,
): Promise<void> {
  const target = join(dir, 'algopkg', packageName);
  await copyWritable(packageDir, target);
  if (modules !== null) await symlink(modules, join(target, 'node_modules'));
}

/** Snapshots are read-only; the copies are not, because runners put compiled code beside the source. */
async function copyWritable(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true });
  await chmod(to, 0o700);
  for (const entry of await readdir(to, { withFileTypes: true, recursive: true })) {
    if (!entry.isSymbolicLink()) await chmod(join(entry.parentPath, entry.name), 0o700);
  }
}
