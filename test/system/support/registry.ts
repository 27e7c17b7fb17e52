import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { createHash, createPrivateKey, createPublicKey, createSign, X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, createServer as createSocketServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePorts } from './cluster.ts';
import { until } from './until.ts';

/** What the registries with authentication know. */
export const ACCOUNT = { user: 'somebody', password: 'a:secret word' };

/** Whether images can be made and served here; says so where not. */
export const hasRegistry = ['docker-registry', 'skopeo', 'umoci', 'htpasswd', 'openssl'].every((program) => {
  try {
    execFileSync('which', [program], { stdio: 'ignore' });
    return true;
  } catch {
    process.stdout.write(
      `skipped: tests on a registry: no ${program} on PATH (Debian: apt-get install docker-registry skopeo umoci apache2-utils)\n`,
    );
    return false;
  }
});

/** Who may get at images, and how it is proven. */
export type RegistryKind = 'open' | 'htpasswd' | 'token';

/** Debian's docker-registry on loopback, with what it keeps in a folder of its own. */
export class TestRegistry {
  readonly host: string;
  readonly dir: string;
  #child: ChildProcess | null = null;
  #tokens: Server | null = null;
  /** scopes that tokens were asked for, with who asked (`-` for nobody) */
  readonly tokensGiven: string[] = [];

  private constructor(port: number) {
    this.host = `127.0.0.1:${port}`;
    this.dir = mkdtempSync(join(tmpdir(), 'modelserve-registry-'));
  }

  static async start(kind: RegistryKind = 'open'): Promise<TestRegistry> {
    const registry = new TestRegistry((await freePorts(1))[0] ?? 0);
    const auth =
      kind === 'token' ? await registry.#tokenAuth() : kind === 'htpasswd' ? registry.#htpasswd() : '';
    writeFileSync(
      join(registry.dir, 'config.yml'),
      `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${registry.dir}/images}, delete: {enabled: true}}\n` +
        `http: {addr: "${registry.host}"}\n${auth}`,
    );
    await registry.launch();
    return registry;
  }

  get url(): string {
    return `http://${this.host}`;
  }

  /** Starts it, again. */
  async launch(): Promise<void> {
    this.#child = spawn('docker-registry', ['serve', join(this.dir, 'config.yml')], { stdio: 'ignore' });
    await until('the registry', async () => await fetch(`${this.url}/v2/`));
  }

  /** Ends it; what it keeps stays. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    const gone = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  async stop(): Promise<void> {
    await this.kill();
    this.#tokens?.closeAllConnections();
    this.#tokens?.close();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Puts a blob into an open registry. @returns its digest and size */
  async putBlob(name: string, bytes: Buffer): Promise<{ digest: string; size: number }> {
    const digest = digestOf(bytes);
    const begun = await fetch(`${this.url}/v2/${name}/blobs/uploads/`, { method: 'POST' });
    const location = begun.headers.get('location') ?? '';
    const done = await fetch(`${location}&digest=${digest}`, { method: 'PUT', body: new Uint8Array(bytes) });
    if (done.status !== 201) throw new Error(`putting a blob: ${done.status} ${await done.text()}`);
    return { digest, size: bytes.length };
  }

  /** Puts a manifest into an open registry. @returns its digest */
  async putManifest(name: string, tag: string, manifest: object): Promise<string> {
    const body = JSON.stringify(manifest);
    const type = (manifest as { mediaType?: string }).mediaType ?? OCI_MANIFEST;
    const headers = { 'content-type': type };
    const done = await fetch(`${this.url}/v2/${name}/manifests/${tag}`, { method: 'PUT', headers, body });
    if (done.status !== 201) throw new Error(`putting a manifest: ${done.status} ${await done.text()}`);
    return digestOf(Buffer.from(body));
  }

  /** Puts an image of these layers into an open registry. @returns its digest */
  async putImage(name: string, tag: string, layers: readonly (Buffer | PackedLayer)[]): Promise<string> {
    const config = await this.putBlob(name, Buffer.from('{"architecture":"amd64","os":"linux"}'));
    const put = [];
    for (const layer of layers) {
      const { bytes, mediaType } = Buffer.isBuffer(layer) ? { bytes: layer, mediaType: OCI_LAYER } : layer;
      put.push({ mediaType, ...(await this.putBlob(name, bytes)) });
    }
    return await this.putManifest(name, tag, {
      ...{ schemaVersion: 2, mediaType: OCI_MANIFEST },
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
      layers: put,
    });
  }

  #htpasswd(): string {
    const path = join(this.dir, 'htpasswd');
    const { user, password } = ACCOUNT;
    writeFileSync(path, execFileSync('htpasswd', ['-Bbn', user, password]));
    return `auth: {htpasswd: {realm: test, path: ${path}}}\n`;
  }

  /** A token server as `docker login` knows them: who has a name and password gets what is asked for, others may only read what is called public. */
  async #tokenAuth(): Promise<string> {
    const [key, certificate] = [join(this.dir, 'key.pem'), join(this.dir, 'cert.pem')];
    const args = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=tokens'];
    execFileSync('openssl', [...args, '-keyout', key, '-out', certificate], { stdio: 'ignore' });
    const basic = `Basic ${Buffer.from(`${ACCOUNT.user}:${ACCOUNT.password}`).toString('base64')}`;
    this.#tokens = createServer((request, response) => {
      const url = new URL(request.url ?? '', 'http://tokens');
      const { authorization } = request.headers;
      if (authorization !== undefined && authorization !== basic) {
        response.writeHead(401).end('{"details":"wrong password"}');
        return;
      }
      const scope = url.searchParams.get('scope') ?? '';
      const [type = '', name = '', actions = ''] = scope.split(':');
      this.tokensGiven.push(`${authorization === undefined ? '-' : ACCOUNT.user} ${scope}`);
      const mayRead = name.startsWith('public/') ? ['pull'] : [];
      const granted = authorization === undefined ? mayRead : actions.split(',');
      const token = signedToken(key, certificate, [{ type, name, actions: granted }]);
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ token }));
    });
    await new Promise<void>((resolve) => this.#tokens?.listen(0, '127.0.0.1', resolve));
    const { port } = this.#tokens.address() as AddressInfo;
    return `auth: {token: {realm: "http://127.0.0.1:${port}/token", service: test, issuer: tokens, rootcertbundle: ${certificate}}}\n`;
  }
}

/** A layer that is not a plain tar. */
export interface PackedLayer {
  readonly bytes: Buffer;
  readonly mediaType: string;
}

export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar';

export function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** Makes images with umoci in a folder, step by step, and copies them to a registry with skopeo. */
export class ImageFolder {
  readonly #dir: string;
  #steps = 0;

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true });
    this.#umoci('init', '--layout', 'oci');
    this.#umoci('new', '--image', 'oci:0');
  }

  /** Adds a layer with a folder's files at a path of the image. */
  insert(folder: string, path: string): this {
    return this.#step(folder, path);
  }

  /** Adds a layer that takes a path away. */
  hide(path: string): this {
    return this.#step('--whiteout', path);
  }

  /** @param args of skopeo, such as `--dest-creds` */
  async push(target: string, ...args: readonly string[]): Promise<void> {
    const from = `oci:${join(this.#dir, 'oci')}:${this.#steps}`;
    const all = ['copy', '--insecure-policy', '--dest-tls-verify=false', ...args, from, `docker://${target}`];
    await promisify(execFile)('skopeo', all, { timeout: 60_000 }); // a token server may be in this process
  }

  #step(...what: readonly string[]): this {
    this.#steps += 1;
    const tags = ['--image', `oci:${this.#steps - 1}`, '--tag', String(this.#steps)];
    this.#umoci('insert', '--rootless', ...tags, ...what);
    return this;
  }

  #umoci(...args: readonly string[]): void {
    execFileSync('umoci', args, { cwd: this.#dir, stdio: 'pipe' });
  }
}

/** A JWT as docker-registry checks it: the key is named by the SHA-256 of its public half. */
function signedToken(keyPath: string, certificatePath: string, access: readonly object[]): string {
  const key = createPrivateKey(readFileSync(keyPath));
  const certificate = new X509Certificate(readFileSync(certificatePath));
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const seconds = Math.floor(Date.now() / 1000);
  const header = { typ: 'JWT', alg: 'RS256', kid: keyId(spki), x5c: [certificate.raw.toString('base64')] };
  const times = { iat: seconds, nbf: seconds - 10, exp: seconds + 300 };
  const claims = { iss: 'tokens', sub: '', aud: 'test', jti: String(Math.random()), ...times, access };
  const parts = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'));
  const signature = createSign('RSA-SHA256').update(parts.join('.')).sign(key).toString('base64url');
  return [...parts, signature].join('.');
}

function keyId(spki: Buffer): string {
  const bytes = createHash('sha256').update(spki).digest().subarray(0, 30);
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const letters = (bits.match(/.{5}/g) ?? []).map(
    (five) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[Number.parseInt(five, 2)],
  );
  return (letters.join('').match(/.{4}/g) ?? []).join(':');
}

/** A line to a server that breaks when so many bytes have gone one way: the first `times` connections that carry as much. */
export async function breakingLine(
  to: string,
  { direction, afterBytes, times }: { direction: 'up' | 'down'; afterBytes: number; times: number },
) {
  const [host = '', port = ''] = to.split(':');
  const line = { host: '', broken: 0, close: async () => undefined as unknown };
  const server = createSocketServer((client) => {
    const upstream = connect(Number(port), host);
    let bytes = 0;
    const [watched, ends] = [direction === 'up' ? client : upstream, [client, upstream]] as const;
    watched.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes < afterBytes || line.broken >= times) return;
      line.broken += 1;
      for (const end of ends) end.destroy();
    });
    for (const end of ends) end.on('error', () => undefined);
    client.pipe(upstream).pipe(client);
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  line.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  line.close = async () => await new Promise((resolve) => server.close(resolve));
  return line;
}

/** A line to a server that gives nothing on once so many bytes have come down, until it is told to. */
export async function stallingLine(to: string, afterBytes: number) {
  const [host = '', port = ''] = to.split(':');
  const line = { host: '', downBytes: 0, isStalling: true, close: async () => undefined as unknown };
  const server = createSocketServer((client) => {
    const upstream = connect(Number(port), host);
    upstream.on('data', (chunk: Buffer) => {
      if (line.isStalling && line.downBytes >= afterBytes) return void upstream.pause();
      line.downBytes += chunk.length;
      client.write(chunk);
    });
    for (const end of [client, upstream]) end.on('error', () => undefined);
    client.pipe(upstream);
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  line.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  line.close = async () => await new Promise((resolve) => server.close(resolve));
  return line;
}
