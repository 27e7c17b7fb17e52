import type { LaunchFile } from '../../channel/launch.ts';
import { codeOf, messageOf } from '../../lib/errors.ts';
import { describe, tracebackOf } from './answer.ts';
import { findBackendFile } from './backend-file.ts';
import { importableBackend } from './bundle.ts';
import { loadBackendClass } from './load-class.ts';

/** Answer of `--check-import`, one line of JSON on standard output. */
export type ImportCheck =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly message: string;
      readonly traceback: string;
      /** npm package that is not installed, or null where that is not what is wrong */
      readonly missing_module: string | null;
    };

/** Compiles and imports the backend and finds its class, without constructing it. Never throws. */
export async function checkImport(
  launch: Pick<LaunchFile, 'code_dir' | 'package' | 'backend'>,
): Promise<ImportCheck> {
  process.setSourceMapsEnabled(true);
  try {
    const file = await importableBackend(findBackendFile(launch.code_dir, launch.package));
    await loadBackendClass(file, launch.backend);
    return { ok: true };
  } catch (error) {
    const traceback = tracebackOf(error);
    return { ok: false, message: describe(error), traceback, missing_module: missingPackage(error) };
  }
}

/** The bare name in Node's own messages; a missing file of the package itself is no package to install. */
function missingPackage(error: unknown): string | null {
  if (!['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND'].includes(codeOf(error) ?? '')) return null;
  const specifier = /Cannot find (?:package|module) '([^']+)'/.exec(messageOf(error))?.[1] ?? '';
  if (specifier === '' || /^[./]|^file:/.test(specifier)) return null;
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}
