import { createHmac, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from './cluster.ts';
import { installPackage } from './npm-package.ts';
import { ServerProcess } from './server-process.ts';

const PACKAGE = 'azurite@3.35.0'; // the last for Node 20
const VERSION = '2020-10-02';
const ACCOUNT = 'acct';

/** Installs Microsoft's own emulator. @returns null, having said why, where it cannot be had */
export function installAzureServer(what: string): string | null {
  return installPackage(PACKAGE, what);
}

/** Azure Blob Storage on loopback, which checks signatures, with one account and one container. */
export class AzureServer {
  readonly url: string;
  readonly account = ACCOUNT;
  readonly key: string;
  readonly process: ServerProcess;
  readonly #folder: string;

  private constructor(
    url: string,
    key: string,
    { process, folder }: { process: ServerProcess; folder: string },
  ) {
    this.url = url;
    this.key = key;
    this.process = process;
    this.#folder = folder;
  }

  static async start(installed: string, container: string): Promise<AzureServer> {
    const [port = 0] = await freePorts(1);
    const url = `http://127.0.0.1:${port}`;
    const key = randomBytes(64).toString('base64');
    const folder = mkdtempSync(join(tmpdir(), 'modelserve-server-'));
    const listen = ['--blobHost', '127.0.0.1', '--blobPort', String(port), '-l', join(folder, 'blobs')];
    const server = new ServerProcess({
      ...{
        what: 'Azurite',
        command: join(installed, 'node_modules', '.bin', 'azurite-blob'),
        cwd: folder,
      },
      args: [...listen, '--silent', '--disableTelemetry', '--skipApiVersionCheck'],
      env: { AZURITE_ACCOUNTS: `${ACCOUNT}:${key}` },
      isReady: async () => (await fetch(url)).status > 0,
    });
    await server.start();
    const azure = new AzureServer(url, key, { process: server, folder });
    await azure.#put(`/${container}`, [['restype', 'container']], Buffer.alloc(0));
    return azure;
  }

  /** @param path container and name, as they are */
  async put(path: string, content: Buffer): Promise<void> {
    await this.#put(`/${path.split('/').map(encodeURIComponent).join('/')}`, [], content);
  }

  /** A signature for reading and listing a container, `?sv=…`. */
  accessSignature(container: string, endsAtMs: number): string {
    const ends = new Date(endsAtMs).toISOString().replace(/\.\d+Z$/, 'Z');
    const resource = `/blob/${ACCOUNT}/${container}`;
    const fields = ['rl', '', ends, resource, '', '', '', VERSION, 'c', '', '', '', '', '', ''];
    const sig = createHmac('sha256', Buffer.from(this.key, 'base64'))
      .update(fields.join('\n'))
      .digest('base64');
    return `?${new URLSearchParams({ sv: VERSION, sr: 'c', sp: 'rl', se: ends, sig })}`;
  }

  /** Ends it and removes it from the disk. Idempotent. */
  async stop(): Promise<void> {
    await this.process.kill();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }

  async #put(path: string, query: readonly (readonly [string, string])[], content: Buffer): Promise<void> {
    const own = {
      'x-ms-blob-type': 'BlockBlob',
      'x-ms-date': new Date().toUTCString(),
      'x-ms-version': VERSION,
    };
    const lines = ['PUT', '', '', content.length || '', ...Array(8).fill('')];
    const named = Object.entries(own).map(([name, value]) => `${name}:${value}`);
    const resource = [`/${ACCOUNT}/${ACCOUNT}${path}`, ...query.map(([name, value]) => `${name}:${value}`)];
    const text = [...lines, ...named, ...resource].join('\n');
    const signature = createHmac('sha256', Buffer.from(this.key, 'base64')).update(text).digest('base64');
    const headers = {
      ...{ ...own, 'content-length': content.length, authorization: `SharedKey ${ACCOUNT}:${signature}` },
    };
    const asked = query.map(([name, value]) => `${name}=${value}`).join('&');
    const url = `${this.url}/${ACCOUNT}${path}${asked === '' ? '' : `?${asked}`}`;
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const put = request(url, { method: 'PUT', headers, agent: false }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode));
      });
      put.on('error', reject).end(content);
    });
    if (status !== 201) throw new Error(`putting ${path}: ${status}`);
  }
}
