import { hostname, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../lib/errors.ts';
import { readIfThere, writeDurably } from '../lib/files.ts';
import type { Log } from '../lib/log.ts';
import { Rounds } from '../lib/rounds.ts';
import { type Authority, authorityFrom, type PemPair } from '../lib/tls/authority.ts';
import type { TlsFiles } from '../lib/tls/pem-files.ts';
import { holdsAuthorities, lifeFrom, whyRenew } from '../lib/tls/renewal.ts';

export interface NodeCertificateOptions {
  /** where `ca.pem`, `node.pem` and `node-key.pem` lie */
  readonly folder: string;
  readonly nodeId: string;
  readonly clusterId: string;
  /** see ClusterKeys. The first one's authority signs; those of the others are trusted, too */
  readonly secrets: () => readonly [string, ...string[]];
  /** names and addresses besides those that this machine has */
  readonly names: readonly string[];
}

const LOOK_MS = 12 * 3_600_000;
/** Nobody reaches a machine by more; bridges of containers come by the hundred. */
const MOST_NAMES = 100;

/** The certificate that this node signs for itself. The processes of the node read it from its files. */
export class NodeCertificate {
  /** with the cluster's authority: of connections between nodes */
  readonly files: TlsFiles & { readonly caFile: string };
  readonly #options: NodeCertificateOptions;
  readonly #log: Log;
  readonly #looks: Rounds;

  constructor(options: NodeCertificateOptions, log: Log) {
    const { folder } = options;
    this.files = {
      certFile: join(folder, 'node.pem'),
      keyFile: join(folder, 'node-key.pem'),
      caFile: join(folder, 'ca.pem'),
    };
    this.#options = options;
    this.#log = log;
    this.#looks = new Rounds(LOOK_MS, async () => {
      await this.renew(Date.now()).catch((error) =>
        log.error({ error: messageOf(error) }, "this node's certificate cannot be renewed"),
      );
    });
  }

  /** Signs one where there is none, where it ends before long, or where this machine has got another address. */
  async renew(nowMs: number): Promise<void> {
    const { secrets, clusterId, nodeId } = this.#options;
    const authorities = await Promise.all(secrets().map((secret) => authorityFrom(secret, clusterId)));
    const [authority] = authorities as [Authority, ...Authority[]];
    await this.#trust(authorities);
    const names = namesOfMachine(this.#options.names);
    const present = await this.#present();
    const why = whyRenew(present, { names, authority: authority.certificate }, nowMs);
    if (why === null) return;
    const commonName = `modelserve node ${nodeId}`;
    const { cert, key } = await authority.issue({ commonName, names, ...lifeFrom(nowMs) });
    await writeDurably(this.files.keyFile, key);
    await writeDurably(this.files.certFile, cert, 0o644);
    this.#log.info({ why, names }, "this node's certificate was signed");
  }

  /** Renews it in time from now on. */
  start(): void {
    this.#looks.start();
  }

  async stop(): Promise<void> {
    await this.#looks.stop();
  }

  async #present(): Promise<PemPair | null> {
    const [cert, key] = await Promise.all([this.files.certFile, this.files.keyFile].map(readIfThere));
    return cert == null || key == null ? null : { cert, key };
  }

  /** Each signature of an authority is another: its file changes only where another key is in it. */
  async #trust(authorities: readonly Authority[]): Promise<void> {
    const certificates = authorities.map(({ certificate }) => certificate);
    const known = await readIfThere(this.files.caFile);
    if (known !== null && holdsAuthorities(known, certificates)) return;
    await writeDurably(this.files.caFile, certificates.join('\n'), 0o644);
  }
}

/** Without those of this very link (`fe80:`), which name no machine elsewhere. */
function namesOfMachine(further: readonly string[]): readonly string[] {
  const addresses = Object.values(networkInterfaces())
    .flatMap((found) => found ?? [])
    .map(({ address }) => address)
    .filter((address) => !address.startsWith('fe80:'));
  const names = ['localhost', hostname(), ...further, '127.0.0.1', '::1', ...addresses];
  return [...new Set(names)].slice(0, MOST_NAMES);
}
