import { request } from 'node:http';
import type { IngressSample } from '../../cluster/metrics/samples.ts';
import type { Casualty } from '../../cluster/replicas/types.ts';
import { messageOf, ServeError } from '../../lib/errors.ts';

/** What an ingress says of itself on its control socket. */
export interface IngressState {
  readonly pid: number;
  readonly nodeId: string;
  /** of modelserve */
  readonly version: string;
  readonly host: string;
  /** false while it is not listening yet, or about to end because it cannot */
  readonly started: boolean;
  /** null until a routing table names one */
  readonly httpPort: number | null;
  readonly linkPort: number;
  readonly routingVersion: number;
  readonly incarnation: string;
  readonly draining: boolean;
  /** requests that were given up because replicas died with them, oldest first; at most ten */
  readonly poison?: readonly Casualty[];
}

/** One request of an agent to its node's ingress, over the Unix socket. */
export interface IngressCall {
  readonly socketPath: string;
  readonly method: 'GET' | 'POST';
  readonly path: '/state' | '/metrics' | '/drain' | '/secrets' | '/stop';
  readonly body?: object;
  readonly timeoutMs: number;
}

/**
 * Asks an ingress and returns the JSON it answers.
 * @throws ServeError INGRESS_UNREACHABLE when nobody answers in time, or not with success
 */
export function callIngress(call: IngressCall): Promise<unknown> {
  const { socketPath, method, path, body, timeoutMs } = call;
  const content = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const fail = (why: unknown): void =>
      reject(
        new ServeError(
          `the ingress on ${socketPath} did not answer ${method} ${path}: ${messageOf(why)}`,
          { code: 'INGRESS_UNREACHABLE' },
          { cause: why },
        ),
      );
    const outgoing = request(
      {
        socketPath,
        method,
        path,
        headers: content === undefined ? {} : { 'content-type': 'application/json' },
        signal: AbortSignal.timeout(timeoutMs),
        agent: false,
      },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', fail);
        answer.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          const status = answer.statusCode ?? 0;
          try {
            if (status >= 300) fail(`status ${status}: ${text}`);
            else resolve(JSON.parse(text));
          } catch (error) {
            fail(error);
          }
        });
      },
    );
    outgoing.on('error', fail);
    outgoing.end(content);
  });
}

/** The state of the ingress behind a control socket, or null where none answers within a second. */
export async function readIngressState(socketPath: string): Promise<IngressState | null> {
  try {
    return (await callIngress({
      socketPath,
      method: 'GET',
      path: '/state',
      timeoutMs: 1_000,
    })) as IngressState;
  } catch {
    return null;
  }
}

/** What an ingress has counted. @throws ServeError INGRESS_UNREACHABLE */
export async function readIngressSample(socketPath: string): Promise<IngressSample> {
  const call = { socketPath, method: 'GET', path: '/metrics', timeoutMs: 2_000 } as const;
  return (await callIngress(call)) as IngressSample;
}
