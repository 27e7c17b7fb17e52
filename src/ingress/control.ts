import { mkdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { type FastifyInstance, fastify } from 'fastify';
import type { IngressSample } from '../cluster/metrics/samples.ts';
import type { NodeSecrets } from '../config/token.ts';
import { ServeError } from '../lib/errors.ts';
import type { IngressState } from './state.ts';

/** What can be asked of a running ingress. */
export interface Controlled {
  /** what all its processes have to do, asked of each */
  report(): Promise<IngressState>;
  /** what all its processes have counted */
  measure(): Promise<IngressSample>;
  /** uses these secrets from now on */
  useSecrets(secrets: NodeSecrets): Promise<void>;
  /** see Ingress.drain */
  drain(graceMs: number): Promise<boolean>;
}

const DEFAULT_GRACE_MS = 30_000;

/**
 * HTTP on a Unix socket, for this node only: `GET /state`, `GET /metrics`, `POST /drain {"graceMs"}` (answers when all is done or the time
 * is over: `{"drained"}`), `POST /secrets` (NodeSecrets; answers when they are in use), `POST /stop` (answers, then ends).
 * @throws ServeError INGRESS_RUNS where another ingress answers on the socket
 */
export async function openControl(
  socketPath: string,
  ingress: Controlled,
  onStop: () => void,
): Promise<FastifyInstance> {
  const app = fastify({ logger: false, forceCloseConnections: true });
  app.get('/state', () => ingress.report());
  app.get('/metrics', () => ingress.measure());
  app.post<{ Body: { graceMs?: unknown } | null }>('/drain', async (request) => {
    const graceMs = request.body?.graceMs;
    return { drained: await ingress.drain(typeof graceMs === 'number' ? graceMs : DEFAULT_GRACE_MS) };
  });
  app.post<{ Body: NodeSecrets }>('/secrets', async (request) => {
    await ingress.useSecrets(request.body);
    return { following: true };
  });
  app.post('/stop', async (_request, reply) => {
    reply.raw.once('close', onStop);
    return { stopping: true };
  });
  await takeOver(socketPath);
  await app.listen({ path: socketPath });
  return app;
}

/** A socket file stays behind when its process is killed; one that answers belongs to somebody. */
async function takeOver(socketPath: string): Promise<void> {
  mkdirSync(dirname(socketPath), { recursive: true, mode: 0o700 });
  const isTaken = await new Promise<boolean>((resolve) => {
    const probe = connect(socketPath);
    probe.once('connect', () => resolve(true));
    probe.once('error', () => resolve(false));
    probe.once('close', () => resolve(false));
    probe.once('connect', () => probe.destroy());
  });
  if (isTaken) {
    throw new ServeError(`an ingress of this node runs already: it answers on ${socketPath}`, {
      code: 'INGRESS_RUNS',
    });
  }
  rmSync(socketPath, { force: true });
}
