import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from './cluster.ts';
import { isListening, ServerProcess } from './server-process.ts';

/** Whether tinyproxy is here; says why tests are skipped where not. */
export function hasTinyproxy(what: string): boolean {
  try {
    execFileSync('tinyproxy', ['-v'], { stdio: 'ignore' });
    return true;
  } catch {
    process.stdout.write(`skipped: ${what}: there is no tinyproxy (Debian package tinyproxy)\n`);
    return false;
  }
}

/** A proxy on loopback that wants to know who asks, and writes down what for. */
export class TinyproxyServer {
  /** with user and password */
  readonly url: string;
  /** without them */
  readonly origin: string;
  readonly process: ServerProcess;
  readonly #folder: string;

  private constructor(port: number, folder: string) {
    this.#folder = folder;
    this.origin = `http://127.0.0.1:${port}`;
    this.url = `http://me:let-me-in@127.0.0.1:${port}`;
    const args = ['-d', '-c', join(folder, 'tinyproxy.conf')];
    const isReady = async () => await isListening(port);
    this.process = new ServerProcess({ what: 'tinyproxy', command: 'tinyproxy', args, cwd: folder, isReady });
  }

  static async start(): Promise<TinyproxyServer> {
    const folder = mkdtempSync(join(tmpdir(), 'modelserve-tinyproxy-'));
    chmodSync(folder, 0o777); // started by root it may become another user
    const [port = 0] = await freePorts(1);
    const lines = [
      ...[`Port ${port}`, 'Listen 127.0.0.1', 'Allow 127.0.0.1', 'BasicAuth me let-me-in', 'Timeout 60'],
      ...[`LogFile "${join(folder, 'log')}"`, 'LogLevel Connect', 'MaxClients 50'],
    ];
    writeFileSync(join(folder, 'tinyproxy.conf'), `${lines.join('\n')}\n`);
    const server = new TinyproxyServer(port, folder);
    await server.process.start();
    return server;
  }

  /** `GET http://…`, `CONNECT host:port` of each request so far. */
  get requests(): readonly string[] {
    const path = join(this.#folder, 'log');
    const log = existsSync(path) ? readFileSync(path, 'utf8') : '';
    return [...log.matchAll(/Request \(.*?\): (.*) HTTP\/1/g)].map(([, request = '']) => request);
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    await this.process.kill();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }
}
