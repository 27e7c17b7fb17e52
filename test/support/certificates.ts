import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Authority, authorityFrom, type PemPair } from '../../src/lib/tls/authority.ts';
import { LiveTls } from '../../src/lib/tls/live-tls.ts';
import type { TlsFiles } from '../../src/lib/tls/pem-files.ts';
import { lifeFrom } from '../../src/lib/tls/renewal.ts';

const known = new Map<string, Promise<Authority>>();

/** The authority of a cluster with this secret. */
export async function authorityOf(secret: string): Promise<Authority> {
  const authority = known.get(secret) ?? authorityFrom(secret, 'test');
  known.set(secret, authority);
  return await authority;
}

/** For `localhost` and 127.0.0.1. */
export async function issue(
  secret: string,
  commonName: string,
  life = lifeFrom(Date.now()),
): Promise<PemPair> {
  const authority = await authorityOf(secret);
  return await authority.issue({ commonName, names: ['localhost', '127.0.0.1'], ...life });
}

/** @param ca null: the other end need not show a certificate */
export function putFiles(folder: string, pair: PemPair, ca: string | null = null): TlsFiles {
  const files = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') };
  writeFileSync(files.keyFile, pair.key);
  writeFileSync(files.certFile, pair.cert);
  if (ca === null) return { ...files, caFile: null };
  const caFile = join(folder, 'ca.pem');
  writeFileSync(caFile, ca);
  return { ...files, caFile };
}

/** What a node of the cluster with this secret shows other nodes, and asks of them. */
export async function nodeTls(folder: string, secret: string, commonName = 'a node'): Promise<LiveTls> {
  const { certificate } = await authorityOf(secret);
  return await LiveTls.open(putFiles(folder, await issue(secret, commonName), certificate));
}
