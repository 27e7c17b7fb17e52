import type { AdminClient } from './admin-client.ts';
import { ExitCode } from './exit.ts';

export interface LogsOptions {
  readonly deployment: string;
  readonly replica: string | null;
  readonly follow: boolean;
  readonly lines: number;
  readonly signal: AbortSignal;
}

/** `modelserve logs`: output of a deployment's replicas, wherever they run. */
export async function logsCommand(client: AdminClient, options: LogsOptions): Promise<ExitCode> {
  const query = new URLSearchParams({ lines: String(options.lines), follow: options.follow ? '1' : '0' });
  if (options.replica !== null) query.set('replica', options.replica);
  try {
    for await (const text of client.logs(
      `/api/v1/logs/${encodeURIComponent(options.deployment)}?${query}`,
      options.signal,
    )) {
      process.stdout.write(text);
    }
  } catch (error) {
    if (!options.signal.aborted) throw error;
  }
  return ExitCode.done;
}
