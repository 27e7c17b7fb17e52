import { Agent, request } from 'undici';
import { messageOf } from '../lib/errors.ts';
import type { AdminClient } from './admin-client.ts';
import { CommandFailure, ExitCode } from './exit.ts';
import { print, printError } from './output.ts';
import { readParam } from './param.ts';

export interface CallOptions {
  readonly route: string;
  readonly param: string;
}

/** `modelserve call`: one request to a route, with the method of its deployment; prints the answer. */
export async function callCommand(client: AdminClient, options: CallOptions): Promise<ExitCode> {
  const body = await readParam(options.param);
  const status = await client.status();
  const path = `/${options.route.replace(/^\/+/, '')}`;
  const deployment = status.deployments.find((one) => one.route === path || path.startsWith(`${one.route}/`));
  const alive = status.nodes.filter((one) => one.alive);
  const node = alive.find((one) => !one.draining) ?? alive[0];
  if (deployment === undefined || node === undefined) {
    const routes = status.deployments.map((one) => one.route).join(', ');
    throw new CommandFailure(`there is no route ${path}; there are: ${routes || 'none'}`, ExitCode.usage);
  }
  const method = deployment.methods.includes('GET') ? 'GET' : 'POST';
  const started = performance.now();
  const answer = await send(`${node.http}${path}`, { method, body, authorities: client.authorities });
  const type = String(answer.headers['content-type'] ?? '');
  const bytes = Buffer.from(await answer.body.arrayBuffer());
  printError(
    `${method} ${node.http}${path}  ${answer.statusCode}  ${(performance.now() - started).toFixed(1)} ms`,
  );
  const text = bytes.toString('utf8');
  if (type.includes('json') || type.startsWith('text/')) print(text);
  else process.stdout.write(bytes);
  const failed = answer.statusCode >= 400 || (type.includes('json') && saysThatItFailed(text));
  return failed ? ExitCode.failed : ExitCode.done;
}

/** A class that catches its own exceptions answers 200 with `"status": 0`. */
function saysThatItFailed(json: string): boolean {
  try {
    return (JSON.parse(json) as { readonly status?: unknown } | null)?.status === 0;
  } catch {
    return false; // the text of a stream that broke off
  }
}

async function send(
  url: string,
  what: {
    readonly method: 'GET' | 'POST';
    readonly body: string;
    readonly authorities: readonly string[];
  },
): ReturnType<typeof request> {
  const { method, body, authorities } = what;
  const dispatcher = new Agent(authorities.length === 0 ? {} : { connect: { ca: [...authorities] } });
  try {
    return await request(url, {
      ...{ method, body, dispatcher },
      headers: { 'content-type': 'application/json' },
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  } catch (cause) {
    throw new CommandFailure(`${url} does not answer: ${messageOf(cause)}`, ExitCode.unreachable, cause);
  }
}
