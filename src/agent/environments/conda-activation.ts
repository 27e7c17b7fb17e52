import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readIfThere } from '../../lib/files.ts';
import { runCommand } from '../../lib/process/command.ts';
import type { Env } from './plan.ts';
import { PreparationError } from './preparation-error.ts';

const TIMEOUT_MS = 30_000;
const OF_THE_SHELL = ['', '_', 'PWD', 'OLDPWD', 'SHLVL'];

/** Sources what `conda activate` would, then prints every variable, each ended by a NUL. */
const SCRIPT = 'for file in "$0"/*.sh; do [ -r "$file" ] && . "$file" >&2; done; env -0';

/**
 * The variables that activating a conda environment sets beside PATH: those that were given to it (`conda env config
 * vars`), and what the scripts of its packages set (of GDAL, of compilers).
 * @throws PreparationError ENVIRONMENT_FAILED with the output of a script that fails
 */
export async function activationOf(prefix: string, env: Env): Promise<Env> {
  const scripts = join(prefix, 'etc', 'conda', 'activate.d');
  const own = await variablesOf(prefix);
  if (!existsSync(scripts)) return own;
  const run = await runCommand('/bin/sh', ['-c', SCRIPT, scripts], {
    env: { ...env, ...own },
    timeoutMs: TIMEOUT_MS,
  });
  if (run.exitCode !== 0) {
    const message = `the environment ${prefix} cannot be activated: a script in ${scripts} failed`;
    throw new PreparationError('ENVIRONMENT_FAILED', message, run.output);
  }
  const after = run.stdout.split('\0').map((line) => [line.split('=', 1)[0] ?? '', line] as const);
  const changed = after
    .map(([name, line]) => [name, line.slice(name.length + 1)] as const)
    .filter(([name, value]) => !OF_THE_SHELL.includes(name) && env[name] !== value);
  return { ...own, ...Object.fromEntries(changed) };
}

async function variablesOf(prefix: string): Promise<Env> {
  const state = await readIfThere(join(prefix, 'conda-meta', 'state'));
  if (state === null) return {};
  try {
    const { env_vars: variables = {} } = JSON.parse(state) as { readonly env_vars?: Record<string, string> };
    return Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== CONDA_UNSET));
  } catch {
    return {}; // written by hand; conda ignores it, too
  }
}

/** What conda writes for a variable that was unset. */
const CONDA_UNSET = '***unset***';
