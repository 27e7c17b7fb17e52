import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StatusDocument } from '../../../src/cluster/status/types.ts';
import { CLI, TestProcess } from './test-process.ts';

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Environment of every process that tests start: no setting of the person who runs them leaks in. */
function cleanEnv(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) =>
      !name.startsWith('MODELSERVE_') &&
      name !== 'CUDA_VISIBLE_DEVICES' &&
      name !== 'NODE_OPTIONS' &&
      name !== 'VITEST',
  );
  return { ...Object.fromEntries(kept), NO_COLOR: '1', ...extra };
}

/** Runs a `modelserve` command to its end. */
export async function modelserve(
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Record<string, string> } = {},
): Promise<CommandResult> {
  const child = spawn(process.execPath, [CLI, ...args], {
    cwd: options.cwd ?? tmpdir(),
    env: cleanEnv(options.env),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => {
    output.stdout += String(chunk);
  });
  child.stderr.on('data', (chunk: Buffer) => {
    output.stderr += String(chunk);
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, ...output };
}

/** Ports that were free a moment ago, below those that the system gives out by itself: nobody gets one by chance. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers: Server[] = [];
  while (servers.length < count) {
    const server = createServer();
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (isFree) servers.push(server);
  }
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  return ports;
}

/** A head or worker process of a test, in its own state directory. */
export class TestNode extends TestProcess {
  readonly stateDir: string;

  constructor(
    args: readonly string[],
    options: { readonly stateDir?: string; readonly env?: Record<string, string> } = {},
  ) {
    const stateDir = options.stateDir ?? mkdtempSync(join(tmpdir(), 'modelserve-state-'));
    super([...args, '--state-dir', stateDir], { env: cleanEnv(options.env) });
    this.stateDir = stateDir;
  }

  /** Ends the node and everything below its state directory; nothing is left, not even after a failed test. */
  async dispose(): Promise<void> {
    if (!this.hasEnded) {
      this.signal('SIGINT');
      await this.ended(90_000).catch(() => this.signal('SIGKILL'));
    }
    await modelserve(['stop', '--state-dir', this.stateDir]);
    rmSync(this.stateDir, { recursive: true, force: true });
  }
}

/** A command of a client that goes on until it is interrupted. */
export function launchCommand(args: readonly string[], cwd: string): TestProcess {
  const command = new TestProcess(args, { env: cleanEnv(), cwd });
  command.launch();
  return command;
}

export interface HeadOptions {
  readonly conf: string;
  /** it listens where conf.ini says, which may change */
  readonly httpPortOfConf?: boolean;
  readonly args?: readonly string[];
  readonly env?: Record<string, string>;
  readonly stateDir?: string;
}

/** A head on ports of its own, with what a client needs to speak to it. */
export class TestHead extends TestNode {
  readonly storePort: number;
  readonly adminPort: number;
  readonly httpPort: number;
  readonly conf: string;

  constructor(ports: readonly number[], options: HeadOptions) {
    const [storePort = 0, adminPort = 0, httpPort = 0] = ports;
    super(
      [
        'head',
        '--conf',
        options.conf,
        '--port',
        String(storePort),
        '--dashboard-port',
        String(adminPort),
        ...(options.httpPortOfConf === true ? [] : ['--http-port', String(httpPort)]),
        ...(options.args ?? []),
      ],
      {
        ...(options.stateDir === undefined ? {} : { stateDir: options.stateDir }),
        ...(options.env === undefined ? {} : { env: options.env }),
      },
    );
    this.storePort = storePort;
    this.adminPort = adminPort;
    this.httpPort = httpPort;
    this.conf = options.conf;
  }

  static async start(options: HeadOptions): Promise<TestHead> {
    const head = new TestHead(await freePorts(3), options);
    head.launch();
    try {
      await head.says(/^ready\b/im);
    } catch (error) {
      await head.dispose();
      throw error;
    }
    return head;
  }

  get client(): readonly string[] {
    return ['--address', `127.0.0.1:${this.adminPort}`, '--token-file', join(this.stateDir, 'token')];
  }

  get token(): string {
    return readFileSync(join(this.stateDir, 'token'), 'utf8').trim();
  }

  /** the dashboard's address */
  get dashboard(): string {
    return `http://127.0.0.1:${this.adminPort}/`;
  }

  url(route: string): string {
    return `http://127.0.0.1:${this.httpPort}/${route}`;
  }

  async status(): Promise<StatusDocument> {
    const { code, stdout, stderr } = await modelserve(['status', '--json', ...this.client]);
    if (code !== 0) throw new Error(`status ended with ${code}: ${stderr}`);
    return JSON.parse(stdout) as StatusDocument;
  }

  async apply(extra: readonly string[] = []): Promise<CommandResult> {
    return await modelserve(['controller', '--conf', this.conf, ...this.client, ...extra]);
  }

  /** A worker of this head on the same machine, with a state directory and ports of its own. */
  worker(args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): TestNode {
    const address = `127.0.0.1:${this.storePort}`;
    const tokenFile = join(this.stateDir, 'token');
    return new TestNode(['worker', '--address', address, '--token-file', tokenFile, ...args], { env });
  }
}
