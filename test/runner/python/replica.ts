import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { killSession } from '../../../src/lib/process/signals.ts';
import { type ChannelClient, connectClient } from './channel-client.ts';
import { until } from './until.ts';

export const mainPath = fileURLToPath(new URL('../../../src/runner/python/main.py', import.meta.url));

export interface ReplicaOptions {
  readonly python: string;
  /** text of backend.py */
  readonly backend: string;
  /** further files, paths relative to the package */
  readonly files?: Readonly<Record<string, string>>;
  readonly launch?: Readonly<Record<string, unknown>>;
}

/** A real runner process on a package in a temporary folder. */
export class TestReplica {
  readonly folder: string;
  readonly socket: string;
  readonly log: string;
  readonly launchPath: string;
  exit: { readonly code: number | null; readonly signal: string | null } | null = null;
  readonly #clients: ChannelClient[] = [];
  readonly #python: string;
  #child: ChildProcess | null = null;

  constructor(options: ReplicaOptions) {
    this.folder = mkdtempSync(join(tmpdir(), 'msr-'));
    this.socket = join(this.folder, 'r.sock');
    this.log = join(this.folder, 'replica.log');
    this.launchPath = join(this.folder, 'launch.json');
    this.#python = options.python;
    const launch = {
      protocol: 1,
      replica: 'Echo-test',
      deployment: 'Echo',
      revision: 1,
      socket: this.socket,
      log: this.log,
      log_max_bytes: 20 * 1024 * 1024,
      log_files: 5,
      code_dir: join(this.folder, 'code'),
      package: 'Echo',
      backend: 'Backend',
      model_path: '',
      user_config: null,
      max_ongoing: 16,
      concurrency: 1,
      max_batch_size: 1,
      batch_wait_timeout_s: 0,
      orphan_timeout_s: 60,
      ...options.launch,
    };
    for (const [name, text] of Object.entries({ 'backend.py': options.backend, ...options.files })) {
      const path = join(launch.code_dir, 'algopkg', 'Echo', name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
    writeFileSync(this.launchPath, JSON.stringify(launch), { mode: 0o600 });
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  start(): this {
    this.exit = null;
    this.#child = spawn(this.#python, [mainPath, this.launchPath], {
      cwd: this.folder,
      detached: true,
      stdio: 'ignore',
      env: { PATH: process.env['PATH'] ?? '', LANG: 'C' },
    });
    this.#child.once('exit', (code, signal) => {
      this.exit = { code, signal };
    });
    return this;
  }

  async connect(role: 'agent' | 'ingress' = 'ingress'): Promise<ChannelClient> {
    for (const end = performance.now() + 15_000; ; ) {
      const client = await connectClient(this.socket, role);
      if (client.hello !== null) {
        this.#clients.push(client);
        return client;
      }
      if (performance.now() > end || this.exit !== null) throw new Error(`no replica: ${this.output()}`);
    }
  }

  output(): string {
    try {
      return readFileSync(this.log, 'utf8');
    } catch {
      return '';
    }
  }

  async exited(
    timeoutMs = 15_000,
  ): Promise<{ readonly code: number | null; readonly signal: string | null }> {
    await until(() => this.exit !== null, 'exit of the replica', timeoutMs);
    return this.exit ?? { code: null, signal: null };
  }

  signal(name: NodeJS.Signals): void {
    process.kill(this.pid, name);
  }

  /** Ends the whole session, and removes every file. */
  async dispose(): Promise<void> {
    for (const client of this.#clients) client.destroy();
    if (this.pid > 0) {
      await killSession(this.pid);
      await this.exited();
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
