import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from './cluster.ts';
import { installPackage } from './npm-package.ts';
import { ServerProcess } from './server-process.ts';

const PACKAGE = '@20minutes/s3rver@4.0.4';

// Its command is missing from the package; its paging needs ciphers that OpenSSL 3 has under `legacy` alone.
const PROGRAM = `
const http = require('node:http');
const S3rver = require('@20minutes/s3rver');
const [directory, port] = process.argv.slice(1);
const server = new S3rver({ directory, vhostBuckets: false, silent: true });
http.createServer(server.callback()).listen(Number(port), '127.0.0.1');
`;

/** Installs an S3 server of somebody else's, which checks signatures. @returns null, having said why, where it cannot be had */
export function installS3Server(what: string): string | null {
  return installPackage(PACKAGE, what);
}

/** An S3 server on loopback with one bucket. Its key is `S3RVER`, id and secret alike; who sends none may do all. */
export class S3Server {
  readonly url: string;
  readonly process: ServerProcess;
  readonly #folder: string;

  private constructor(url: string, process: ServerProcess, folder: string) {
    this.url = url;
    this.process = process;
    this.#folder = folder;
  }

  static async start(installed: string, bucket: string): Promise<S3Server> {
    const [port = 0] = await freePorts(1);
    const folder = mkdtempSync(join(tmpdir(), 'modelserve-server-'));
    mkdirSync(join(folder, bucket));
    const url = `http://127.0.0.1:${port}`;
    const server = new ServerProcess({
      ...{ what: 'the S3 server', command: process.execPath, cwd: installed },
      args: ['--openssl-legacy-provider', '-e', PROGRAM, folder, String(port)],
      isReady: async () => (await fetch(`${url}/${bucket}`)).ok,
    });
    await server.start();
    return new S3Server(url, server, folder);
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

  /** Ends it and removes it from the disk. Idempotent. */
  async stop(): Promise<void> {
    await this.process.kill();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }
}
