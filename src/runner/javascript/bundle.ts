import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as esbuild from 'esbuild';
import { messageOf, ServeError } from '../../lib/errors.ts';
import { writeDurably } from '../../lib/files.ts';
import { sha256 } from '../../lib/hash.ts';
import type { BackendFile } from './backend-file.ts';

const TARGET = 'node20';
const LOADERS: Readonly<Record<string, esbuild.Loader>> = {
  '.ts': 'ts',
  '.mts': 'ts',
  '.cts': 'ts',
  '.tsx': 'tsx',
};

/**
 * What Node imports for a backend: the file itself, or for TypeScript a bundle of the package's own files. The bundle is
 * written inside the package (`.modelserve/backend-<hash>.mjs`), so that npm packages, which stay outside of it, are found in the
 * package's node_modules; replicas that start together write the same content under the same name.
 * @throws ServeError BUNDLE_FAILED with every message of the compiler
 */
export async function importableBackend(backend: BackendFile): Promise<string> {
  if (!backend.isTypeScript) return backend.path;
  const folder = join(backend.packageDir, '.modelserve');
  const code = await bundle(backend.path, folder);
  const file = join(folder, `backend-${sha256(code).slice(0, 16)}.mjs`);
  if (!existsSync(file)) await write(file, code);
  return file;
}

async function write(file: string, code: string): Promise<void> {
  try {
    await writeDurably(file, code, 0o644);
  } catch (cause) {
    const message = `cannot write the compiled backend to ${file}: ${messageOf(cause)}. A TypeScript package's folder must be writable`;
    throw new ServeError(message, { code: 'BUNDLE_FAILED' }, { cause });
  }
}

/** @param folder where the result will lie: paths in its source map are relative to it */
async function bundle(entry: string, folder: string): Promise<string> {
  try {
    const built = await esbuild.build({
      entryPoints: [entry],
      bundle: true,
      packages: 'external',
      format: 'esm',
      platform: 'node',
      target: TARGET,
      sourcemap: 'inline',
      keepNames: true,
      write: false,
      outfile: join(folder, 'backend.mjs'),
      absWorkingDir: dirname(entry),
      logLevel: 'silent',
      plugins: [ownLocation],
    });
    return built.outputFiles[0]?.text ?? '';
  } catch (cause) {
    throw new ServeError(await explain(entry, cause), { code: 'BUNDLE_FAILED' }, { cause });
  } finally {
    await esbuild.stop(); // its service process would otherwise live as long as the replica
  }
}

/** In a bundle `import.meta.url` would be the bundle's: each file gets its own, so that `new URL('./labels.json', import.meta.url)` holds. */
const ownLocation: esbuild.Plugin = {
  name: 'own-location',
  setup(build) {
    build.onLoad({ filter: /\.[cm]?tsx?$/ }, async ({ path }) => {
      try {
        return { contents: await transform(path), loader: 'js' };
      } catch (failure) {
        if (isFailure(failure)) return { errors: failure.errors };
        throw failure;
      }
    });
  },
};

async function transform(path: string): Promise<string> {
  const transformed = await esbuild.transform(await readFile(path, 'utf8'), {
    loader: LOADERS[extname(path)] ?? 'ts',
    sourcefile: path,
    sourcemap: 'inline',
    target: TARGET,
    define: {
      'import.meta.url': JSON.stringify(pathToFileURL(path).href),
      'import.meta.filename': JSON.stringify(path),
      'import.meta.dirname': JSON.stringify(dirname(path)),
    },
  });
  return transformed.code;
}

/** One line, then every message with its place. */
async function explain(entry: string, cause: unknown): Promise<string> {
  const errors = isFailure(cause) ? cause.errors : [];
  const [first] = errors;
  if (first === undefined) return `cannot compile ${entry}: ${String(cause)}`;
  const texts = await esbuild.formatMessages(errors, { kind: 'error', color: false });
  return `cannot compile ${entry}: ${first.text}\n${texts.join('').trim()}`;
}

function isFailure(cause: unknown): cause is esbuild.TransformFailure | esbuild.BuildFailure {
  return cause instanceof Error && 'errors' in cause && Array.isArray(cause.errors);
}
