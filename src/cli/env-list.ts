import { type BuiltFolder, listBuilt } from '../agent/environments/built-folders.ts';
import type { StatePaths } from '../config/paths.ts';
import { folderSizeBytes } from '../lib/files.ts';
import { ExitCode } from './exit.ts';
import { print, printJson } from './output.ts';
import { table } from './table.ts';

/** `modelserve env list`: what this node has built. */
export async function listEnvironments(
  paths: StatePaths,
  { json }: { readonly json: boolean },
): Promise<ExitCode> {
  const built = await listBuilt(paths.environments);
  const sized = await Promise.all(
    built.map(async (one) => ({ ...one, sizeBytes: await folderSizeBytes(one.folder) })),
  );
  if (json) printJson(sized.map(asDocument));
  else if (sized.length === 0) print(`no environments in ${paths.environments}`);
  else print(renderEnvironments(sized));
  return ExitCode.done;
}

/** A built folder with the bytes it has on disk. */
export type SizedFolder = BuiltFolder & { readonly sizeBytes: number };

function asDocument({ key, state, description, uses, lastUsedMs, sizeBytes, folder }: SizedFolder): object {
  return {
    ...{ key, state, description, folder },
    packages: packagesOf({ uses }),
    size_bytes: sizeBytes,
    last_used: new Date(lastUsedMs).toISOString(),
  };
}

/** Environments as a table: what `env list` and `env prune` show. */
export function renderEnvironments(environments: readonly SizedFolder[]): string {
  return table(
    ['environment', 'what it is', 'packages', 'size', 'last used', 'state'],
    environments.map((one) => [
      shortKey(one.key),
      one.description || '–',
      packagesOf(one).join(', ') || '–',
      sizeText(one.sizeBytes),
      agoText(Date.now() - one.lastUsedMs),
      one.state,
    ]),
  );
}

function packagesOf({ uses }: Pick<BuiltFolder, 'uses'>): readonly string[] {
  return [...new Set(uses.map(({ packageName }) => packageName))].sort();
}

/** Enough to find its folder by. */
function shortKey(key: string): string {
  return key.slice(0, key.indexOf('-') + 13);
}

const MEGABYTE = 1e6;

export function sizeText(sizeBytes: number): string {
  const megabytes = sizeBytes / MEGABYTE;
  return megabytes >= 1000 ? `${(megabytes / 1000).toFixed(1)} GB` : `${megabytes.toFixed(1)} MB`;
}

const UNITS: readonly (readonly [name: string, ms: number])[] = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
];

export function agoText(ms: number): string {
  const [name, unitMs] = UNITS.find((unit) => ms >= unit[1]) ?? ['', 0];
  if (unitMs === 0) return 'just now';
  const count = Math.floor(ms / unitMs);
  return `${count} ${name}${count === 1 ? '' : 's'} ago`;
}
