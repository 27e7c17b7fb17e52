import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { componentLog, LOG_COMPONENTS, type LogComponent, type StatePaths } from '../config/paths.ts';
import { searchLog } from '../lib/log-search.ts';
import { tailLog } from '../lib/log-tail.ts';

/** Whose lines, on one node. */
export type LogPlace =
  | { readonly kind: 'replica'; readonly deployment: string; readonly replicaId: string }
  | { readonly kind: 'component'; readonly component: LogComponent }
  /** whatever holds the id of a request; `deployment` null: of any */
  | { readonly kind: 'request'; readonly requestId: string; readonly deployment: string | null };

/** How much of it. */
export interface LogExtent {
  /** of those before now; of no meaning to a search */
  readonly lines: number;
  /** goes on with what is written; of no meaning to a search */
  readonly follow: boolean;
}

const DEFAULT_LINES = 100;
const MAX_LINES = 100_000;
const REPLICA = /^\/-\/logs\/(?<deployment>[\w.-]+)\/(?<replicaId>[\w.-]+)$/;
const COMPONENT = /^\/-\/component-logs\/(?<component>\w+)$/;
const REQUEST = '/-/request-logs';
/** What an ingress says of requests. */
const WITH_REQUESTS: readonly LogComponent[] = ['ingress', 'access'];

/** The way by which another node asks for it. */
export function logAddress(
  place: LogPlace,
  { lines, follow }: LogExtent,
): { readonly path: string; readonly query: string } {
  const query = new URLSearchParams({ lines: String(lines), follow: follow ? '1' : '0' });
  switch (place.kind) {
    case 'replica':
      return { path: `/-/logs/${place.deployment}/${place.replicaId}`, query: String(query) };
    case 'component':
      return { path: `/-/component-logs/${place.component}`, query: String(query) };
    case 'request':
      query.set('id', place.requestId);
      if (place.deployment !== null) query.set('deployment', place.deployment);
      return { path: REQUEST, query: String(query) };
  }
}

/** @returns null where the path is none that `logAddress` makes */
export function readLogAddress(
  path: string,
  query: string,
): { readonly place: LogPlace; readonly extent: LogExtent } | null {
  const fields = new URLSearchParams(query);
  const asked = Number(fields.get('lines') ?? DEFAULT_LINES);
  const lines = Number.isInteger(asked) && asked >= 0 ? Math.min(asked, MAX_LINES) : DEFAULT_LINES;
  const place = readPlace(path, fields);
  return place === null ? null : { place, extent: { lines, follow: fields.get('follow') === '1' } };
}

function readPlace(path: string, fields: URLSearchParams): LogPlace | null {
  const { deployment = '', replicaId = '' } = REPLICA.exec(path)?.groups ?? {};
  if (isFileName(deployment) && isFileName(replicaId)) return { kind: 'replica', deployment, replicaId };
  const component = LOG_COMPONENTS.find((one) => one === COMPONENT.exec(path)?.groups?.['component']);
  if (component !== undefined) return { kind: 'component', component };
  const requestId = fields.get('id') ?? '';
  if (path !== REQUEST || requestId === '') return null;
  const named = fields.get('deployment');
  return named === null || isFileName(named) ? { kind: 'request', requestId, deployment: named } : null;
}

/** Names come from outside, and name a file or folder below that of the logs and nothing else. */
export function isFileName(name: string): boolean {
  return /^[\w.-]+$/.test(name) && !/^\.+$/.test(name);
}

/**
 * What this node's logs have of it. Ends at the end of what is written, or with `follow` when the signal is aborted.
 * @returns null where there is no such log
 */
export async function openNodeLog(
  paths: Pick<StatePaths, 'logs' | 'replicaLogs'>,
  { place, extent }: { readonly place: LogPlace; readonly extent: LogExtent },
  signal: AbortSignal,
): Promise<AsyncIterable<Buffer> | null> {
  if (place.kind === 'request') return searchRequest(paths, place, signal);
  const file =
    place.kind === 'component'
      ? componentLog(paths, place.component)
      : join(paths.replicaLogs, place.deployment, `${place.replicaId}.log`);
  if (!extent.follow && !(await isThere(file))) return null;
  return tailLog(file, { ...extent, signal });
}

async function* searchRequest(
  paths: Pick<StatePaths, 'logs' | 'replicaLogs'>,
  { requestId, deployment }: Extract<LogPlace, { readonly kind: 'request' }>,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  for (const component of WITH_REQUESTS) {
    for await (const line of searchLog(componentLog(paths, component), requestId, signal))
      yield Buffer.from(`${line}\n`);
  }
  const folders = deployment === null ? await namesIn(paths.replicaLogs) : [deployment];
  for (const folder of folders) {
    const names = await namesIn(join(paths.replicaLogs, folder));
    for (const name of names.filter((one) => one.endsWith('.log'))) {
      const label = name.slice(0, -'.log'.length);
      for await (const line of searchLog(join(paths.replicaLogs, folder, name), requestId, signal))
        yield Buffer.from(`${label}  ${line}\n`);
    }
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return (await readdir(folder).catch(() => [])).sort();
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isFile() === true;
}
