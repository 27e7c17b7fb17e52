import type { ModelStatus } from '../cluster/status/models-document.ts';
import type { StatePaths } from '../config/paths.ts';
import { cacheOf, listModels } from '../roles/model-catalog.ts';
import { agoText, sizeText } from './env-list.ts';
import { ExitCode } from './exit.ts';
import { print, printJson } from './output.ts';
import { table } from './table.ts';

/** `modelserve model list`: what this node keeps of models. */
export async function listCommand(
  paths: StatePaths,
  { json }: { readonly json: boolean },
): Promise<ExitCode> {
  const { cache } = cacheOf(paths);
  const models = (await listModels(paths, cache)).map(({ status }) => status);
  if (json) printJson(models);
  else if (models.length === 0) print(`no models in ${paths.models}`);
  else print(renderModels(models));
  return ExitCode.done;
}

/** Models as a table: what `model list` and `model prune` show. */
export function renderModels(models: readonly ModelStatus[]): string {
  return table(
    ['model', 'hash', 'size', 'last used', 'used by', 'state'],
    models.map((one) => [
      one.names.join('\n') || '–',
      one.hash?.slice(0, 12) ?? '–',
      sizeText(one.is_whole ? one.size_bytes : (one.total_bytes ?? one.size_bytes)),
      agoText(Date.now() - Date.parse(one.last_used)),
      one.used_by.join(', ') || (one.is_recorded ? 'an earlier revision' : '–'),
      stateOf(one),
    ]),
  );
}

function stateOf({ is_whole, size_bytes, total_bytes }: ModelStatus): string {
  if (is_whole) return 'ready';
  if (total_bytes === null || total_bytes === 0) return `${sizeText(size_bytes)} fetched`;
  return `${Math.min(99, Math.floor((100 * size_bytes) / total_bytes))} % fetched`;
}
