import type { StatePaths } from '../config/paths.ts';
import type { Log } from '../lib/log.ts';
import { isLoopback } from '../lib/loopback.ts';
import { NodeTls, type NodeTlsFiles, PLAIN_FILES } from '../lib/tls/node-tls.ts';
import type { TlsFiles } from '../lib/tls/pem-files.ts';
import type { Closers } from './closers.ts';
import { NodeCertificate } from './node-certificate.ts';
import type { NodeTokens } from './tokens/node-tokens.ts';

/** Which connections are encrypted: none, those between nodes, or those of clients as well. */
export type TlsScope = 'off' | 'nodes' | 'all';

/** What a person says about TLS on the command line. */
export interface TlsFlags {
  /** --tls; null: as `scopeFor` has it */
  readonly scope: TlsScope | null;
  /** --tls-cert and --tls-key, for clients; null: the one that the node signs itself */
  readonly given: { readonly certFile: string; readonly keyFile: string } | null;
  /** --tls-name: names of this node that it cannot know */
  readonly names: readonly string[];
}

/** What protects the connections of a node. */
export interface NodeSecurity {
  readonly scope: TlsScope;
  readonly files: NodeTlsFiles;
  /** as this process uses it */
  readonly tls: NodeTls;
  /** what clients must be told to trust; null: they know it, or nothing is encrypted for them */
  readonly caFile: string | null;
}

/**
 * What is encrypted where nobody said: between machines everything that nodes say to each other; on one machine nothing,
 * since nobody is in between.
 * @param host what the node listens on
 */
export function scopeFor({ scope, given }: Pick<TlsFlags, 'scope' | 'given'>, host: string): TlsScope {
  if (scope !== null) return scope;
  if (given !== null) return 'all';
  return isLoopback(host) ? 'off' : 'nodes';
}

/** Says so where what clients are shown ends before long. */
export function tellOfEnd({ tls }: NodeSecurity, say: (line: string) => void): void {
  const note = tls.clients?.endNote(Date.now()) ?? null;
  if (note !== null) say(`warning: ${note}`);
}

export interface SecurityGround {
  readonly paths: StatePaths;
  readonly tokens: Pick<NodeTokens, 'clusterId' | 'authoritySecrets' | 'onChange'>;
  readonly nodeId: string;
  readonly host: { readonly bound: string; readonly advertised: string };
  readonly log: Log;
}

/**
 * Signs this node's certificate where it needs one, and follows all that it shows.
 * @throws ServeError TLS_FILE for a given certificate that cannot be used
 */
export async function secureNode(
  flags: TlsFlags,
  ground: SecurityGround,
  closers: Closers,
): Promise<NodeSecurity> {
  const { paths, tokens, nodeId, host, log } = ground;
  const scope = scopeFor(flags, host.bound);
  if (scope === 'off') return { scope, files: PLAIN_FILES, tls: NodeTls.plain, caFile: null };
  const { given } = flags;
  const certificate = new NodeCertificate(
    {
      ...{ folder: paths.tls, nodeId, clusterId: tokens.clusterId },
      secrets: () => tokens.authoritySecrets,
      names: [host.advertised, ...flags.names],
    },
    log,
  );
  await certificate.renew(Date.now());
  const own: TlsFiles = certificate.files;
  const shown: TlsFiles = { ...(given ?? own), caFile: null };
  const files: NodeTlsFiles = { nodes: own, clients: scope === 'all' ? shown : null };
  const tls = await NodeTls.open(files);
  certificate.start();
  closers.add(async () => await certificate.stop());
  tls.start(log);
  tokens.onChange(async () => {
    await certificate.renew(Date.now());
    await tls.refresh(log);
  });
  closers.add(async () => await tls.stop());
  return { scope, files, tls, caFile: scope === 'all' && given === null ? certificate.files.caFile : null };
}
