import { LOG_COMPONENTS, type LogComponent } from '../config/paths.ts';
import { ServeError } from '../lib/errors.ts';
import type { AdminClient } from './admin-client.ts';
import { ExitCode } from './exit.ts';

export interface LogsOptions {
  readonly deployment: string | null;
  readonly replica: string | null;
  readonly node: string | null;
  readonly component: string | null;
  readonly request: string | null;
  /** `30s`, `10m`, `2h`, `1d`, or ISO 8601 */
  readonly since: string | null;
  readonly follow: boolean;
  /** null: 100, or with `since` all from then on */
  readonly lines: number | null;
  readonly signal: AbortSignal;
}

const DEFAULT_LINES = 100;

/** `modelserve logs`: what replicas print, what modelserve itself writes, and all that was written of a request. */
export async function logsCommand(client: AdminClient, options: LogsOptions): Promise<ExitCode> {
  const path = logsPath(options, Date.now());
  let isEmpty = true;
  try {
    for await (const text of client.logs(path, options.signal)) {
      isEmpty = false;
      process.stdout.write(text);
    }
  } catch (error) {
    if (!options.signal.aborted) throw error;
  }
  if (isEmpty && options.request !== null) {
    process.stderr.write(
      `nothing was written of request ${options.request}. Requests that succeed are in the access log alone (access_log = on in [MODEL SERVE]), up to a second after their end\n`,
    );
    return ExitCode.failed;
  }
  if (isEmpty && options.lines !== 0 && options.deployment !== null && !options.signal.aborted)
    process.stderr.write(`nothing has been written by replicas of ${options.deployment} yet\n`);
  return ExitCode.done;
}

/** @throws ServeError BAD_USAGE where options do not go together */
export function logsPath(options: LogsOptions, nowMs: number): string {
  const { deployment, replica, node, component, request, since, follow } = options;
  const wrong = misuseOf(options);
  if (wrong !== null) throw new ServeError(wrong, { code: 'BAD_USAGE' });
  const from = since === null ? null : new Date(momentOf(since, nowMs)).toISOString();
  if (request !== null) return `/api/v1/logs?${queryOf({ node, request, deployment, since: from })}`;
  const extent = { lines: String(options.lines ?? DEFAULT_LINES), follow: follow ? '1' : '0' };
  if (component !== null) return `/api/v1/logs?${queryOf({ node, ...extent, component, since: from })}`;
  return `/api/v1/logs/${encodeURIComponent(deployment ?? '')}?${queryOf({ node, ...extent, replica })}`;
}

/** Without what is null. */
function queryOf(fields: Readonly<Record<string, string | null>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) if (value !== null) query.set(name, value);
  return String(query);
}

function misuseOf(options: LogsOptions): string | null {
  const { deployment, replica, component, request, since, follow } = options;
  if (deployment === null && component === null && request === null) {
    return `name a deployment, \`--component NAME\` (${LOG_COMPONENTS.join(', ')}), or \`--request ID\``;
  }
  if (component !== null && !LOG_COMPONENTS.includes(component as LogComponent)) {
    return `--component: expected one of ${LOG_COMPONENTS.join(', ')}, found "${component}"`;
  }
  if (component !== null && (deployment !== null || replica !== null || request !== null)) {
    return '--component is of modelserve itself: it does not go with a deployment, --replica or --request';
  }
  if (since !== null && component === null && request === null) {
    return '--since goes with --component and --request: what replicas print is kept as it is, and bears no time. --lines N shows the last N lines of it';
  }
  if (request !== null && (follow || replica !== null)) {
    return '--request looks through what is written: it does not go with --follow or --replica';
  }
  return null;
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function momentOf(since: string, nowMs: number): number {
  const { amount = '', unit = '' } = /^(?<amount>\d+)(?<unit>[smhd])$/.exec(since)?.groups ?? {};
  const atMs = amount === '' ? Date.parse(since) : nowMs - Number(amount) * (UNIT_MS[unit] ?? 0);
  if (Number.isFinite(atMs)) return atMs;
  const expected = 'an age such as 30s, 10m, 2h or 1d, or a time such as 2026-01-31T08:00:00Z';
  throw new ServeError(`--since: expected ${expected}, found "${since}"`, { code: 'BAD_USAGE' });
}
