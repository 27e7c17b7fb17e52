import { chmod, copyFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describeEnvironment } from '../../cluster/environments/choose.ts';
import type { EnvironmentChoice, NpmFile } from '../../cluster/environments/types.ts';
import { readIfThere } from '../../lib/files.ts';
import { findProgram, isProgram } from '../../lib/process/find-program.ts';
import type { OnProgress } from '../../lib/shared-work.ts';
import { runStep } from './build-step.ts';
import type { Env, EnvironmentPlan, PackageInPlace } from './plan.ts';
import { PreparationError } from './preparation-error.ts';
import { copyWritable } from './stage.ts';

export interface NpmRequest extends PackageInPlace {
  readonly choice: Extract<EnvironmentChoice, { kind: 'npm' }>;
  /** the node program that will run the backend */
  readonly nodePath: string;
  /** of that program: native modules are compiled for it */
  readonly nodeVersion: string;
  readonly env: Env;
}

/** Where the packages of a JavaScript backend lie; null: it has none. */
export type ModulesEntry = { readonly modules: string | null };

/** A package manager, how it installs what a lock file says, and what has to lie beside it. */
interface Installer {
  readonly program: 'npm' | 'pnpm' | 'yarn';
  readonly args: readonly string[];
  readonly env: Env;
}

/**
 * The `node_modules` of a JavaScript package, by the package manager whose lock file it has.
 * @throws PreparationError ENVIRONMENT_TOOL_MISSING naming the package manager
 */
export async function planNpm(request: NpmRequest): Promise<EnvironmentPlan<ModulesEntry>> {
  const { choice, packageDir, packageHash, nodeVersion } = request;
  const { file } = choice;
  if (file === null) return NOTHING_INSTALLED;
  const contents = await contentsOf(packageDir, file);
  const installer = installerFor(file, contents[file] ?? '');
  const usesPackage = namesFiles(contents);
  const path = findInstaller(request, installer.program);
  return {
    kind: 'npm',
    description: describeEnvironment(choice, [`Node ${nodeVersion}`, installer.program]),
    build: {
      inputs: {
        contents,
        // Dependencies inside the package (file:, link:, workspaces) are covered by the package's hash only.
        package: usesPackage ? packageHash : null,
        node: [nodeVersion, process.platform, process.arch],
      },
      fill: async (dir, say, signal) => {
        if (usesPackage) await copyWritable(packageDir, dir);
        else await copyFiles(packageDir, dir, Object.keys(contents));
        if (file === 'package.json') say(NO_LOCK);
        await install(request, { ...installer, path }, { dir, say, signal });
      },
    },
    enter: async (dir) => ({ modules: join(dir, 'node_modules') }),
  };
}

const NOTHING_INSTALLED: EnvironmentPlan<ModulesEntry> = {
  kind: 'npm',
  description: describeEnvironment({ kind: 'npm', file: null }),
  build: null,
  enter: async () => ({ modules: null }),
};

const NO_LOCK =
  'warning: the package has no lock file, so nodes may install different versions; `npm install` makes one';

/** `.npmrc` and its kin are part of how packages are found. */
async function contentsOf(packageDir: string, file: NpmFile): Promise<Record<string, string>> {
  const names = new Set(['package.json', file, '.npmrc', '.yarnrc', '.yarnrc.yml', 'pnpm-workspace.yaml']);
  const contents: Record<string, string> = {};
  for (const name of names) {
    const text = await readIfThere(join(packageDir, name));
    if (text !== null) contents[name] = text;
  }
  return contents;
}

function installerFor(file: NpmFile, lock: string): Installer {
  const quiet = ['--omit=dev', '--no-audit', '--no-fund'];
  switch (file) {
    case 'pnpm-lock.yaml':
      return { program: 'pnpm', args: ['install', '--prod', '--frozen-lockfile'], env: { CI: 'true' } };
    case 'yarn.lock':
      // Yarn 2 and later write a header of metadata, and know no node_modules unless told.
      return lock.includes('__metadata:')
        ? { program: 'yarn', args: ['install', '--immutable'], env: { YARN_NODE_LINKER: 'node-modules' } }
        : {
            program: 'yarn',
            args: ['install', '--production', '--frozen-lockfile', '--non-interactive'],
            env: {},
          };
    case 'package.json':
      return { program: 'npm', args: ['install', ...quiet], env: {} };
    default:
      return { program: 'npm', args: ['ci', ...quiet], env: {} };
  }
}

function findInstaller({ nodePath, env, packageName, choice }: NpmRequest, program: string): string {
  const besideNode = join(dirname(nodePath), program);
  const path = isProgram(besideNode) ? besideNode : findProgram(program, env['PATH'] ?? '');
  if (path !== null) return path;
  throw new PreparationError(
    'ENVIRONMENT_TOOL_MISSING',
    `algopkg/${packageName} has a ${choice.file}, but ${program} is neither beside ${nodePath} nor on the PATH; ` +
      `install ${program}${program === 'npm' ? '' : `, or keep a package-lock.json in place of ${choice.file}`}`,
  );
}

async function install(
  { packageName, nodePath, env }: NpmRequest,
  installer: Installer & { readonly path: string },
  { dir, say, signal }: { readonly dir: string; readonly say: OnProgress; readonly signal: AbortSignal },
): Promise<void> {
  const { program, path, args } = installer;
  await runStep(
    {
      title: `$ ${program} ${args.join(' ')}`,
      command: path,
      args,
      cwd: dir,
      env: { ...env, ...installer.env, PATH: `${dirname(nodePath)}:${env['PATH'] ?? ''}` },
      failure: `${program} cannot install the dependencies of algopkg/${packageName}/package.json`,
    },
    say,
    signal,
  );
}

async function copyFiles(from: string, to: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    await copyFile(join(from, name), join(to, name));
    await chmod(join(to, name), 0o600);
  }
}

function namesFiles(contents: Readonly<Record<string, string>>): boolean {
  const { 'package.json': manifest = '', ...locks } = contents;
  return (
    /"(file|link|workspace|portal):|"workspaces"/.test(manifest) ||
    Object.values(locks).some((text) => /["' @](file|link):/.test(text))
  );
}
