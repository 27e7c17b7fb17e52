import { request } from 'node:http';
import type { Server } from 'node:net';
import { codeOf, type FailureData, messageOf, ServeError } from '../lib/errors.ts';
import { programOnPort } from '../lib/ports.ts';
import { CLUSTER_HEADER } from './admin-routes.ts';

export type ListenErrorCode = 'PORT_TAKEN' | 'PORT_FORBIDDEN' | 'LISTEN_FAILED';

/** The ingress cannot listen; the message names the holder of the port or the remedies. */
export class ListenError extends ServeError<FailureData & { readonly code: ListenErrorCode }> {
  override readonly name = 'ListenError';
}

const PROBE_TIMEOUT_MS = 1_000;

/**
 * Listens on a port. Where an ingress of the same cluster has it (several nodes on one machine), on any free one.
 * @returns the port it listens on
 * @throws ListenError
 */
export async function listenForHttp(
  server: Server,
  address: { readonly host: string; readonly port: number },
  clusterId: string,
): Promise<number> {
  try {
    return await listenOn(server, address);
  } catch (error) {
    if (codeOf(error) === 'EADDRINUSE' && (await clusterOn(address)) === clusterId) {
      return listenOn(server, { host: address.host, port: 0 });
    }
    throw explain(error, address);
  }
}

/** @throws the error of node:net as it is */
function listenOn(
  server: Server,
  address: { readonly host: string; readonly port: number } | { readonly path: string },
): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(address, () => {
      server.off('error', reject);
      const bound = server.address();
      resolve(typeof bound === 'object' && bound !== null ? bound.port : 0);
    });
  });
}

function explain(error: unknown, address: { readonly host: string; readonly port: number }): ListenError {
  const { host, port } = address;
  if (codeOf(error) === 'EADDRINUSE') {
    const holder = programOnPort(port);
    const who = holder === null ? 'another program' : `${holder.name} (pid ${holder.pid})`;
    return new ListenError(
      `port ${port} on ${host} is taken by ${who}: stop it, or choose another port ([MODEL SERVE] port in conf.ini, or --http-port for this node)`,
      { code: 'PORT_TAKEN' },
      { cause: error },
    );
  }
  if (codeOf(error) === 'EACCES') {
    return new ListenError(
      `port ${port} is below 1024 and this user may not listen there. Any of these helps: a port from 1024 up ([MODEL SERVE] port, or --http-port); ` +
        `sudo setcap cap_net_bind_service=+ep ${process.execPath}; sudo sysctl net.ipv4.ip_unprivileged_port_start=${port}; a proxy in front`,
      { code: 'PORT_FORBIDDEN' },
      { cause: error },
    );
  }
  return new ListenError(
    `cannot listen on ${host}:${port}: ${messageOf(error)}`,
    { code: 'LISTEN_FAILED' },
    { cause: error },
  );
}

/** The cluster whose ingress answers there; null where something else does. */
function clusterOn(address: { readonly host: string; readonly port: number }): Promise<string | null> {
  const host = address.host === '0.0.0.0' || address.host === '::' ? '127.0.0.1' : address.host;
  return new Promise((resolve) => {
    const probe = request(
      { host, port: address.port, path: '/-/healthz', agent: false, timeout: PROBE_TIMEOUT_MS },
      (answer) => {
        const cluster = answer.headers[CLUSTER_HEADER];
        resolve(typeof cluster === 'string' ? cluster : null);
        answer.destroy();
      },
    );
    const deadline = setTimeout(() => probe.destroy(), PROBE_TIMEOUT_MS);
    probe.on('error', () => resolve(null));
    probe.on('close', () => {
      clearTimeout(deadline);
      resolve(null);
    });
    probe.end();
  });
}
