import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from './cluster.ts';
import { until } from './until.ts';

/** Whether a real store can be started here; says so where not. */
export const hasRedis = (() => {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    process.stdout.write(
      'skipped: tests on a real Redis: no redis-server on PATH (Debian: apt-get install redis-server)\n',
    );
    return false;
  }
})();

/** A folder that holds everything on PATH except store servers, so that a head takes the embedded one. */
export function pathWithoutStore(): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'modelserve-path-'));
  for (const folder of (process.env['PATH'] ?? '').split(':')) {
    for (const name of namesIn(folder)) {
      if (/^(redis|valkey)-server$/.test(name)) continue;
      try {
        symlinkSync(join(folder, name), join(path, name));
      } catch {
        // an earlier folder of PATH has it already
      }
    }
  }
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

function namesIn(folder: string): readonly string[] {
  try {
    accessSync(folder, constants.R_OK);
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** A Redis of the test's own, for heads that are given one with --redis. */
export class TestRedis {
  readonly dir = mkdtempSync(join(tmpdir(), 'modelserve-redis-'));
  readonly port: number;
  #child: ChildProcess | null = null;

  private constructor(port: number) {
    this.port = port;
  }

  static async start(): Promise<TestRedis> {
    const [port = 0] = await freePorts(1);
    const redis = new TestRedis(port);
    await redis.launch();
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async launch(): Promise<void> {
    this.#child = spawn(
      'redis-server',
      ['--port', String(this.port), '--dir', this.dir, '--save', '', '--bind', '127.0.0.1'],
      { stdio: 'ignore' },
    );
    await until('redis to answer', async () => (await this.command('PING')).startsWith('+PONG'));
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await exited;
  }

  /** Sends one inline command and returns the start of its answer. */
  async command(line: string): Promise<string> {
    return await new Promise((resolve, reject) => {
      const socket = createConnection({ host: '127.0.0.1', port: this.port });
      socket.once('error', reject);
      socket.once('data', (answer) => {
        socket.destroy();
        resolve(String(answer));
      });
      socket.write(`${line}\r\n`);
    });
  }

  async dispose(): Promise<void> {
    await this.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }
}
