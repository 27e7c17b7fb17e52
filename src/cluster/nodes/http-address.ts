import type { NodeRecord } from './types.ts';

/** Where a node answers requests: `http://HOST:PORT`, or `https://`. */
export function httpAddress({ host, httpPort, tls }: Pick<NodeRecord, 'host' | 'httpPort' | 'tls'>): string {
  const scheme = tls?.clients === true ? 'https' : 'http';
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${httpPort}`;
}
