import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from './cluster.ts';
import { until } from './until.ts';

const PACKAGE = '@20minutes/s3rver@4.0.4';

// Its command is missing from the package; its paging needs ciphers that OpenSSL 3 has under `legacy` alone.
const PROGRAM = `
const http = require('node:http');
const S3rver = require('@20minutes/s3rver');
const [directory, port] = process.argv.slice(2);
const server = new S3rver({ directory, vhostBuckets: false, silent: true });
http.createServer(server.callback()).listen(Number(port), '127.0.0.1');
`;

/** Installs an S3 server of somebody else's, which checks signatures. @returns null, having said why, where it cannot be had */
export function installS3Server(what: string): string | null {
  const folder = mkdtempSync(join(tmpdir(), 'modelserve-s3-'));
  try {
    writeFileSync(join(folder, 'package.json'), '{}');
    writeFileSync(join(folder, 'serve.cjs'), PROGRAM);
    const install = ['install', '--no-audit', '--no-fund', '--ignore-scripts', PACKAGE];
    execFileSync('npm', install, { cwd: folder, stdio: 'ignore', timeout: 180_000 });
    return folder;
  } catch {
    rmSync(folder, { recursive: true, force: true });
    process.stdout.write(`skipped: ${what}: ${PACKAGE} cannot be installed from a package index\n`);
    return null;
  }
}

/** An S3 server on loopback with one bucket. Its key is `S3RVER`, id and secret alike. */
export class S3Server {
  readonly url: string;
  readonly #stop: () => Promise<void>;

  private constructor(url: string, stop: () => Promise<void>) {
    this.url = url;
    this.#stop = stop;
  }

  static async start(installed: string, bucket: string): Promise<S3Server> {
    const [port = 0] = await freePorts(1);
    mkdirSync(join(installed, 'objects', bucket), { recursive: true });
    const args = ['--openssl-legacy-provider', 'serve.cjs', 'objects', String(port)];
    const child = spawn(process.execPath, args, { cwd: installed, stdio: 'ignore' });
    const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
    const url = `http://127.0.0.1:${port}`;
    const server = new S3Server(url, async () => {
      child.kill('SIGKILL');
      await gone;
      rmSync(installed, { recursive: true, force: true });
    });
    await until('the S3 server', async () => (await fetch(`${url}/${bucket}`)).ok, 60_000);
    return server;
  }

  /** @param path bucket and key, as they are */
  async put(path: string, content: Buffer): Promise<void> {
    const encoded = path.split('/').map(encodeURIComponent).join('/');
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const headers = { 'content-length': content.length };
      const put = request(`${this.url}/${encoded}`, { method: 'PUT', headers, agent: false }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode));
      });
      put.on('error', reject).end(content);
    });
    if (status !== 200) throw new Error(`putting ${path}: ${status}`);
  }

  async stop(): Promise<void> {
    await this.#stop();
  }
}
