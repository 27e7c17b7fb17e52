import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { messageOf } from '../../lib/errors.ts';
import { packageRoot } from '../../lib/package-root.ts';
import { runCommand } from '../../lib/process/command.ts';
import { findProgram } from '../../lib/process/find-program.ts';

/** The library that makes programs wait for files, or why there is none on this machine. */
export type PreloadLibrary =
  | { readonly status: 'ready'; readonly path: string }
  | { readonly status: 'missing'; readonly reason: string };

const COMPILE_TIMEOUT_MS = 60_000;
const FLAGS = ['-std=gnu11', '-O2', '-Wall', '-fPIC', '-shared', '-fvisibility=hidden', '-U_FORTIFY_SOURCE'];

/**
 * The preload library of this installation, compiled for this machine at the first call (0.3 s); no binary is shipped.
 * @param searchPath where the compiler is looked for, as in PATH
 */
export async function preloadLibrary(searchPath: string): Promise<PreloadLibrary> {
  const root = packageRoot();
  const source = join(root, 'src', 'models', 'preload', 'native', 'preload.c');
  const path = join(root, 'dist', 'preload', 'libmodelserve_preload.so');
  const [written, built] = await Promise.all([changedAtMs(source), changedAtMs(path)]);
  if (built !== null && built >= (written ?? 0)) return { status: 'ready', path };
  const compiler = findProgram('cc', searchPath) ?? findProgram('gcc', searchPath);
  if (process.platform !== 'linux') return missing('it is for Linux');
  if (written === null) return missing(`${source} is not there: the installation is incomplete`);
  if (compiler === null) return missing('no C compiler (cc) is on PATH; install gcc and its libc headers');
  try {
    return await compile(compiler, { source, path, searchPath });
  } catch (error) {
    return missing(messageOf(error));
  }
}

async function compile(
  compiler: string,
  {
    source,
    path,
    searchPath,
  }: { readonly source: string; readonly path: string; readonly searchPath: string },
): Promise<PreloadLibrary> {
  await mkdir(dirname(path), { recursive: true });
  const draft = `${path}.${process.pid}`; // others may compile at the same time
  const loader = join(dirname(path), '..', 'roles', 'preload-loader-main.js');
  const places = [`-DMODELSERVE_NODE="${process.execPath}"`, `-DMODELSERVE_LOADER="${loader}"`];
  const run = await runCommand(compiler, [...FLAGS, ...places, '-o', draft, source, '-ldl'], {
    timeoutMs: COMPILE_TIMEOUT_MS,
    env: { PATH: searchPath, LC_ALL: 'C' },
  });
  if (run.exitCode !== 0) {
    await rm(draft, { force: true });
    const said = run.output.split('\n').find((line) => /error|cannot|not found/i.test(line)) ?? run.output;
    return missing(`${compiler} failed: ${said.trim() || `it ended with code ${run.exitCode}`}`);
  }
  await rename(draft, path);
  return { status: 'ready', path };
}

async function changedAtMs(path: string): Promise<number | null> {
  return await stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => null,
  );
}

function missing(reason: string): PreloadLibrary {
  return { status: 'missing', reason };
}
