import {
  type ConnectionOptions,
  createSecureContext,
  type SecureContext,
  type SecureVersion,
  type TlsOptions,
} from 'node:tls';
import { messageOf } from '../errors.ts';
import type { Log } from '../log.ts';
import { Rounds } from '../rounds.ts';
import { endNote, readTlsFiles, type TlsFiles, type TlsMaterial } from './pem-files.ts';

/** A server whose certificate can be replaced: node:tls's, node:https's. */
interface SecureServer {
  setSecureContext(options: TlsOptions): void;
}

const LOOK_MS = 5_000;
const END_TOLD_EVERY_MS = 24 * 3_600_000;
const MIN_VERSION: SecureVersion = 'TLSv1.2';
/** For the handshake of a client, its first byte included. */
export const HANDSHAKE_MS = 10_000;

/**
 * A certificate as its files have it now. They are looked at regularly: who replaces them need not start anything anew.
 * Connections that are open keep what they began with.
 */
export class LiveTls {
  readonly #files: TlsFiles;
  readonly #servers = new Set<SecureServer>();
  #material: TlsMaterial;
  #context: SecureContext;
  #looks: Rounds | null = null;
  #problem = { text: '', looks: 0 };
  #endToldMs = 0;

  /**
   * @param nowMs when it must be good; null: at any time
   * @throws ServeError TLS_FILE (see readTlsFiles)
   */
  static async open(files: TlsFiles, nowMs: number | null = Date.now()): Promise<LiveTls> {
    return new LiveTls(files, await readTlsFiles(files, nowMs));
  }

  private constructor(files: TlsFiles, material: TlsMaterial) {
    this.#files = files;
    this.#material = material;
    this.#context = createSecureContext(contextOptions(material));
  }

  /**
   * For a connection to another node that shows its own certificate, too. Names are not compared: whoever has a
   * certificate of the cluster has its token, and could have one for any name.
   */
  get clientOptions(): Pick<ConnectionOptions, 'secureContext' | 'checkServerIdentity'> {
    return { secureContext: this.#context, checkServerIdentity: () => undefined };
  }

  /** PEM of what is shown */
  get certificate(): string {
    return this.#material.cert;
  }

  /** See endNote, of what is shown. */
  endNote(nowMs: number): string | null {
    return endNote(this.#material.cert, this.#files.certFile, nowMs);
  }

  /** PEM of those whose certificates the other end must show; null: it need not show any */
  get authorities(): string | null {
    return this.#material.ca;
  }

  /** For a server that is about to be made; `attach` it, so that it follows. */
  get serverOptions(): TlsOptions {
    const mustProve = this.#material.ca !== null;
    return {
      ...contextOptions(this.#material),
      ...{ requestCert: mustProve, rejectUnauthorized: mustProve, handshakeTimeout: HANDSHAKE_MS },
    };
  }

  /** Gives a server each new certificate. @returns ends that */
  attach(server: SecureServer): () => void {
    this.#servers.add(server);
    return () => this.#servers.delete(server);
  }

  /** Begins to look at the files. Idempotent. */
  start(log: Log): void {
    this.#looks ??= new Rounds(LOOK_MS, () => this.refresh(log));
    this.#looks.start();
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    await this.#looks?.stop();
  }

  /** Takes what the files hold now. What cannot be used leaves in force what there was, and is told once. */
  async refresh(log: Log): Promise<void> {
    await this.#reread(log);
    const nowMs = Date.now();
    const problem = this.endNote(nowMs);
    if (problem === null || nowMs - this.#endToldMs < END_TOLD_EVERY_MS) return;
    this.#endToldMs = nowMs;
    log.warn({ problem }, 'whoever connects refuses a certificate that has ended');
  }

  async #reread(log: Log): Promise<void> {
    try {
      const material = await readTlsFiles(this.#files, Date.now());
      this.#problem = { text: '', looks: 0 };
      if (JSON.stringify(material) === JSON.stringify(this.#material)) return;
      this.#context = createSecureContext(contextOptions(material));
      this.#material = material;
      for (const server of this.#servers) server.setSecureContext(contextOptions(material));
      log.info({ file: this.#files.certFile }, 'certificate replaced');
    } catch (error) {
      const problem = messageOf(error);
      const looks = problem === this.#problem.text ? this.#problem.looks + 1 : 1;
      this.#problem = { text: problem, looks };
      // Who replaces two files writes one first: what is still wrong at the second look is told.
      if (looks === 2) log.warn({ problem }, 'the certificate cannot be replaced; the last one stays');
    }
  }
}

function contextOptions({ cert, key, ca }: TlsMaterial): TlsOptions {
  return { cert, key, minVersion: MIN_VERSION, ...(ca === null ? {} : { ca }) };
}
