import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { ServeError } from '../lib/errors.ts';

/** `HOST:PORT`, IPv6 in brackets. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** @throws ServeError BAD_USAGE naming what was given */
export function parseHostPort(text: string, option: string): HostPort {
  const match = /^(?:\[([^\]/]+)\]|([^[\]/\s]+)):(\d+)$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port < 1 || port > 65_535) {
    throw new ServeError(`${option} expects HOST:PORT, got "${text}"`, { code: 'BAD_USAGE' });
  }
  return { host, port };
}

export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** What others reach this machine by when it listens on `host`: every address, or that one. */
export function advertisedAddress(host: string): string {
  if (host !== '0.0.0.0' && host !== '::') return host;
  const family = host === '::' ? ['IPv6', 'IPv4'] : ['IPv4'];
  const outside = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(
      (address) =>
        !address.internal && family.includes(address.family) && !address.address.startsWith('fe80:'),
    );
  return outside[0]?.address ?? '127.0.0.1';
}

/**
 * This machine's address on the route to another: what a worker advertises by default.
 * @throws ServeError CLUSTER_UNREACHABLE when nothing answers there
 */
export async function localAddressTowards(target: HostPort, timeoutMs: number): Promise<string> {
  return await new Promise((resolve, reject) => {
    const socket = connect({ host: target.host, port: target.port, timeout: timeoutMs });
    const fail = (why: string): void => {
      socket.destroy();
      reject(
        new ServeError(
          `nothing answers at ${formatHostPort(target)} (${why}). Is the head running, and did it listen beyond loopback (--host)?`,
          {
            code: 'CLUSTER_UNREACHABLE',
          },
        ),
      );
    };
    socket.once('connect', () => {
      const address = socket.localAddress ?? '127.0.0.1';
      socket.destroy();
      resolve(address.replace(/^::ffff:/, ''));
    });
    socket.once('timeout', () => fail('timed out'));
    socket.once('error', (error) => fail(error.message));
  });
}
