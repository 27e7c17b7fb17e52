import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { freePorts } from './cluster.ts';
import { ServerProcess } from './server-process.ts';

/** Whether nginx (Debian: nginx-light) and openssl are there; says so where they are not. */
export function hasNginx(what: string): boolean {
  try {
    execFileSync('nginx', ['-v'], { stdio: 'ignore' });
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    process.stdout.write(`skipped: ${what}: there is no nginx (Debian: nginx-light), or no openssl\n`);
    return false;
  }
}

/** nginx on loopback, with a folder of files, by http and by https with a certificate of its own. */
export class NginxServer {
  readonly url: string;
  readonly secureUrl: string;
  /** the paths of the certificate that signs for it, and of its key */
  readonly certificate: string;
  readonly key: string;
  readonly process: ServerProcess;
  readonly #folder: string;

  private constructor(folder: string, ports: readonly number[]) {
    this.#folder = folder;
    this.url = `http://127.0.0.1:${ports[0]}`;
    this.secureUrl = `https://localhost:${ports[1]}`;
    this.certificate = join(folder, 'certificate.pem');
    this.key = join(folder, 'key.pem');
    const args = ['-p', folder, '-c', join(folder, 'nginx.conf')];
    const isReady = async () => (await fetch(this.url)).status > 0;
    this.process = new ServerProcess({ what: 'nginx', command: 'nginx', args, cwd: folder, isReady });
  }

  static async start(): Promise<NginxServer> {
    const folder = mkdtempSync(join(tmpdir(), 'modelserve-nginx-'));
    const ports = await freePorts(2);
    mkdirSync(join(folder, 'files'));
    const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
    const files = ['-keyout', join(folder, 'key.pem'), '-out', join(folder, 'certificate.pem')];
    const kind = ['-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2'];
    execFileSync('openssl', ['req', ...kind, ...files, ...names], { stdio: 'ignore' });
    writeFileSync(join(folder, 'nginx.conf'), configuration(folder, ports));
    const server = new NginxServer(folder, ports);
    await server.process.start();
    return server;
  }

  /** @param path below its folder, as it is */
  put(path: string, content: Buffer): void {
    const target = join(this.#folder, 'files', path);
    mkdirSync(dirname(target), { recursive: true });
    // Another file of the same name: nginx would answer from what is half written, under the version of before.
    writeFileSync(`${target}.new`, content);
    renameSync(`${target}.new`, target);
  }

  /** Ends it and removes it from the disk. Idempotent. */
  async stop(): Promise<void> {
    await this.process.kill();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** One process, so that a kill leaves none behind. */
function configuration(folder: string, [port, securePort]: readonly number[]): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `
daemon off; master_process off; pid ${folder}/nginx.pid; error_log ${folder}/error.log;
events {}
http {
  access_log off; sendfile on; default_type application/octet-stream;
  ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')}
  server {
    listen 127.0.0.1:${port};
    listen 127.0.0.1:${securePort} ssl;
    ssl_certificate ${folder}/certificate.pem; ssl_certificate_key ${folder}/key.pem;
    root ${folder}/files;
    location /private/ {
      if ($http_authorization != "Bearer secret-token") { return 403 "who are you?\\n"; }
    }
  }
}
`;
}
