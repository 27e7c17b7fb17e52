import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../lib/errors.ts';
import { packageRoot } from '../../lib/package-root.ts';
import { runCommand } from '../../lib/process/command.ts';
import { findProgram } from '../../lib/process/find-program.ts';

/** The library that makes programs wait for files, or why there is none on this machine. */
export type PreloadLibrary =
  | { readonly status: 'ready'; readonly path: string }
  | { readonly status: 'missing'; readonly reason: string };

interface Parts {
  readonly sourceDir: string;
  readonly outputDir: string;
  readonly compiler: string;
  readonly searchPath: string;
}

const COMPILE_TIMEOUT_MS = 60_000;
const FLAGS = ['-std=gnu11', '-O2', '-Wall', '-U_FORTIFY_SOURCE'];
const LIBRARY = {
  name: 'libmodelserve_preload.so',
  sources: ['question.c', 'opens.c', 'program-kind.c', 'programs.c', 'loader.c', 'begin.c'],
};
/** Starts programs that cannot load the library; native/guard.c says how. */
const GUARD = { name: 'modelserve_guard', sources: ['guard.c', 'question.c'] };

/**
 * The preload library of this installation, compiled for this machine at the first call (0.6 s); no binary is shipped.
 * @param searchPath where the compiler is looked for, as in PATH
 */
export async function preloadLibrary(searchPath: string): Promise<PreloadLibrary> {
  const root = packageRoot();
  const sourceDir = join(root, 'src', 'models', 'preload', 'native');
  const outputDir = join(root, 'dist', 'preload');
  const path = join(outputDir, LIBRARY.name);
  const sources = [...LIBRARY.sources, ...GUARD.sources, 'preload.h'].map((name) => join(sourceDir, name));
  const written = await Promise.all(sources.map(changedAtMs));
  const built = await Promise.all([changedAtMs(path), changedAtMs(join(outputDir, GUARD.name))]);
  const newestMs = Math.max(...written.map((ms) => ms ?? 0));
  if (built.every((ms) => ms !== null && ms >= newestMs)) return { status: 'ready', path };
  const compiler = findProgram('cc', searchPath) ?? findProgram('gcc', searchPath);
  if (process.platform !== 'linux') return missing('it is for Linux');
  const absent = sources.find((_, index) => written[index] === null);
  if (absent !== undefined) return missing(`${absent} is not there: the installation is incomplete`);
  if (compiler === null) return missing('no C compiler (cc) is on PATH; install gcc and its libc headers');
  const parts: Parts = { sourceDir, outputDir, compiler, searchPath };
  const loader = join(outputDir, '..', 'roles', 'preload-loader-main.js');
  const places = [`-DMODELSERVE_NODE="${process.execPath}"`, `-DMODELSERVE_LOADER="${loader}"`];
  try {
    await mkdir(outputDir, { recursive: true });
    await compile(parts, GUARD, []); // first: where the library is there, all is
    await compile(parts, LIBRARY, ['-fPIC', '-shared', '-fvisibility=hidden', ...places, '-ldl']);
    return { status: 'ready', path };
  } catch (error) {
    return missing(messageOf(error));
  }
}

/** @throws Error with what the compiler says */
async function compile(
  { sourceDir, outputDir, compiler, searchPath }: Parts,
  { name, sources }: typeof GUARD,
  flags: readonly string[],
): Promise<void> {
  const draft = join(outputDir, `${name}.${process.pid}`); // others may compile at the same time
  const paths = sources.map((source) => join(sourceDir, source));
  const run = await runCommand(compiler, [...FLAGS, '-o', draft, ...paths, ...flags], {
    timeoutMs: COMPILE_TIMEOUT_MS,
    env: { PATH: searchPath, LC_ALL: 'C' },
  });
  if (run.exitCode !== 0) {
    await rm(draft, { force: true });
    const said = run.output.split('\n').find((line) => /error|cannot|not found/i.test(line)) ?? run.output;
    throw new Error(`${compiler} failed: ${said.trim() || `it ended with code ${run.exitCode}`}`);
  }
  await rename(draft, join(outputDir, name));
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
