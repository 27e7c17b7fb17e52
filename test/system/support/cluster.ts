import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { StatusDocument } from '../../../src/cluster/status/types.ts';
import { until } from './until.ts';

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const CLI = join(ROOT, 'dist', 'cli', 'main.js');

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

/** Ports that were free a moment ago. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
      return server;
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  return ports;
}

/** A head or worker process of a test, in its own state directory. */
export class TestNode {
  readonly stateDir: string;
  readonly args: readonly string[];
  readonly #env: Record<string, string>;
  #child: ChildProcess | null = null;
  output = '';

  constructor(
    args: readonly string[],
    options: { readonly stateDir?: string; readonly env?: Record<string, string> } = {},
  ) {
    this.stateDir = options.stateDir ?? mkdtempSync(join(tmpdir(), 'modelserve-state-'));
    this.args = args;
    this.#env = options.env ?? {};
  }

  get pid(): number {
    return this.#child?.pid ?? -1;
  }

  get hasEnded(): boolean {
    return this.#child === null || this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  get exitCode(): number | null {
    return this.#child?.exitCode ?? null;
  }

  /** Starts the process; `command` may differ to run inside a network namespace. */
  launch(prefix: readonly string[] = []): void {
    const words = [...prefix, process.execPath, CLI, ...this.args, '--state-dir', this.stateDir];
    const [program = process.execPath, ...rest] = words;
    const child = spawn(program, rest, {
      cwd: tmpdir(),
      env: cleanEnv(this.#env),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.output += String(chunk);
      });
    }
    this.#child = child;
  }

  /** Waits for a line of output. @throws with the whole output when the process ends or the time is up */
  async says(pattern: RegExp, timeoutMs = 60_000): Promise<RegExpExecArray> {
    return await until(
      `${this.args[0]} to say ${pattern}`,
      () => {
        const match = pattern.exec(this.output);
        if (match === null && this.hasEnded) throw new Error(`it ended:\n${this.output}`);
        return match;
      },
      timeoutMs,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n--- output\n${this.output}`);
    });
  }

  /** From now on nobody reads its output, as after `| head -1`. */
  leaveUnread(): void {
    this.#child?.stdout?.destroy();
    this.#child?.stderr?.destroy();
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async ended(timeoutMs = 60_000): Promise<void> {
    await until(`${this.args[0]} to end`, () => this.hasEnded, timeoutMs).catch((error: unknown) => {
      throw new Error(`${String(error)}\n--- output\n${this.output}`);
    });
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

export interface HeadOptions {
  readonly conf: string;
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
        '--http-port',
        String(httpPort),
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
  worker(args: readonly string[] = []): TestNode {
    return new TestNode([
      'worker',
      '--address',
      `127.0.0.1:${this.storePort}`,
      '--token-file',
      join(this.stateDir, 'token'),
      ...args,
    ]);
  }
}
