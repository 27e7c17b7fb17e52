import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { defaultStateDir } from '../config/environment.ts';
import { byteSize } from '../config/value-forms.ts';
import { parseHostPort } from '../roles/addresses.ts';
import type { NodeFlags } from '../roles/node.ts';
import type { TlsFlags, TlsScope } from '../roles/node-security.ts';
import { wholeNumber, withTarget } from './client-commands.ts';
import { CommandFailure, ExitCode } from './exit.ts';
import { print } from './output.ts';
import { adminClient, type TargetOptions, tokenOf } from './target.ts';

const TLS_SCOPES: readonly TlsScope[] = ['all', 'nodes', 'off'];

interface NodeOptions {
  readonly httpPort?: number;
  readonly numCpus?: number;
  readonly numGpus?: number;
  readonly modelCache?: number;
  readonly tls?: TlsScope | true;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsName?: readonly string[];
  readonly stateDir?: string;
}

interface HeadOptions extends NodeOptions {
  readonly port: number;
  readonly conf?: string;
  readonly host: string;
  readonly dashboardHost: string;
  readonly dashboardReadOnly?: true;
  readonly dashboardPort: number;
  readonly redis?: string;
}

interface WorkerOptions extends NodeOptions, TargetOptions {
  readonly redis?: string;
  readonly host?: string;
}

interface StopOptions extends TargetOptions {
  readonly all?: boolean;
  readonly keepReplicas?: boolean;
  readonly stateDir?: string;
}

/**
 * Commands that run or end nodes. What a node is made of is loaded by those that need it alone: it takes 0.5 s, which
 * every other command would pay.
 */
export function addNodeCommands(program: Command): void {
  addHead(program);
  addWorker(program);
  withTarget(program.command('stop'))
    .description('end this node: drain it, end its replicas and its ingress')
    .option('--all', 'the whole cluster, this head last')
    .option('--keep-replicas', 'only the node process: replicas and ingress serve on for the next one')
    .option('--state-dir <dir>', 'which node of this machine (default: the head, else the worker)', folder)
    .action(async (flags: StopOptions) => {
      const { stopCommand } = await import('./stop.ts');
      process.exitCode = await stopCommand({
        all: flags.all === true,
        keepReplicas: flags.keepReplicas === true,
        stateDir: flags.stateDir ?? null,
        client: async () => await adminClient(flags),
      });
    });
}

function withNodeOptions(command: Command): Command {
  return command
    .option('--http-port <n>', "the node's HTTP port (default: [MODEL SERVE] port of conf.ini)", port)
    .option('--num-cpus <n>', 'CPUs to give out (default: those there are)', wholeNumber)
    .option('--num-gpus <n>', 'virtual GPUs in place of those that nvidia-smi finds', wholeNumber)
    .option(
      '--model-cache <size>',
      'what models may take on its disk, such as 200GB (default: what is free)',
      size,
    )
    .option(
      '--tls [what]',
      'encrypt: all, nodes (only what nodes say to each other), off (default: nodes where --host is beyond loopback)',
      tlsScope,
    )
    .option(
      '--tls-cert <file>',
      "certificate for clients (PEM, with its chain) in place of the cluster's own",
    )
    .option('--tls-key <file>', 'its private key (PEM)')
    .option('--tls-name <name...>', "further names of this machine for the cluster's own certificate");
}

function addHead(program: Command): void {
  withNodeOptions(
    program
      .command('head')
      .description('run a head in the foreground: controller, admin API, store, and a node that serves')
      .option('--port <n>', "the store's port, which workers join at", port, 6370)
      .option('--conf <file>', 'conf.ini to apply if it is new or has changed (default: conf.ini)')
      .option('--host <addr>', 'address of the store, of HTTP and of links', '127.0.0.1')
      .option('--dashboard-host <addr>', 'address of the admin API', '127.0.0.1')
      .option('--dashboard-port <n>', 'port of the admin API', port, 8265)
      .option('--dashboard-read-only', 'change nothing by the admin API, whoever asks')
      .option('--redis <url>', 'a Redis or Valkey of your own: redis://, rediss:// or redis-sentinel://'),
  )
    .option(
      '--state-dir <dir>',
      `where the node keeps its state (default: ${defaultStateDir('head')})`,
      folder,
    )
    .action(async (flags: HeadOptions) => {
      const node = nodeFlags(flags, 'head');
      const [{ startHead }, { runNode }] = await Promise.all([
        import('../roles/head.ts'),
        import('./run-node.ts'),
      ]);
      process.exitCode = await runNode(
        node.stateDir,
        async () =>
          await startHead(
            {
              ...node,
              conf: { path: flags.conf ?? 'conf.ini', given: flags.conf !== undefined },
              host: flags.host,
              port: flags.port,
              dashboard: {
                host: flags.dashboardHost,
                port: flags.dashboardPort,
                isReadOnly: flags.dashboardReadOnly === true,
              },
              redisUrl: flags.redis ?? null,
            },
            print,
          ),
      );
    });
}

function addWorker(program: Command): void {
  withNodeOptions(
    program
      .command('worker')
      .description("join a head's cluster with this machine")
      .option('--address <host:port>', "the head's store, as the head prints it")
      .option('--redis <url>', 'the Redis that the head was given, in place of --address')
      .option(
        '--host <addr>',
        'address to listen on and to be reached by (default: the local one of the route to the head)',
      ),
  )
    .option(
      '--state-dir <dir>',
      `where the node keeps its state (default: ${defaultStateDir('worker')})`,
      folder,
    )
    .option('--token <token>', 'cluster token (MODELSERVE_TOKEN)')
    .option('--token-file <file>', "file that holds the token (default: the local head's)")
    .action(async (flags: WorkerOptions) => {
      const node = nodeFlags(flags, 'worker');
      const cluster = clusterOf(flags);
      const token = await tokenOf(flags);
      if (token.startsWith('msa_')) {
        throw new CommandFailure(
          'a worker needs the cluster token itself; the API key is for client commands',
          ExitCode.usage,
        );
      }
      const [{ startWorker }, { runNode }] = await Promise.all([
        import('../roles/worker.ts'),
        import('./run-node.ts'),
      ]);
      process.exitCode = await runNode(
        node.stateDir,
        async () => await startWorker({ ...node, cluster, host: flags.host ?? null, token }, print),
      );
    });
}

function clusterOf(
  flags: WorkerOptions,
): { address: ReturnType<typeof parseHostPort> } | { redisUrl: string } {
  if (flags.redis !== undefined && flags.address !== undefined) {
    throw new CommandFailure('give --address or --redis, not both', ExitCode.usage);
  }
  if (flags.redis !== undefined) return { redisUrl: flags.redis };
  if (flags.address !== undefined) return { address: parseHostPort(flags.address, '--address') };
  throw new CommandFailure('give --address HOST:6370 (a head prints it) or --redis URL', ExitCode.usage);
}

function nodeFlags(options: NodeOptions, role: 'head' | 'worker'): NodeFlags {
  return {
    stateDir: resolve(options.stateDir ?? defaultStateDir(role)),
    httpPort: options.httpPort ?? null,
    numCpus: options.numCpus ?? null,
    numGpus: options.numGpus ?? null,
    modelCacheBytes: options.modelCache ?? null,
    tls: tlsFlags(options),
  };
}

/** @throws CommandFailure for a certificate without its key, or that nobody would be shown */
function tlsFlags({ tls, tlsCert, tlsKey, tlsName }: NodeOptions): TlsFlags {
  const scope = tls === true ? 'all' : (tls ?? null);
  const names = tlsName ?? [];
  if (tlsCert === undefined && tlsKey === undefined) return { scope, given: null, names };
  if (tlsCert === undefined || tlsKey === undefined)
    throw new CommandFailure('give --tls-cert and --tls-key together', ExitCode.usage);
  if (scope !== null && scope !== 'all')
    throw new CommandFailure(`--tls ${scope} shows no client the certificate of --tls-cert`, ExitCode.usage);
  return { scope: 'all', given: { certFile: resolve(tlsCert), keyFile: resolve(tlsKey) }, names };
}

function tlsScope(text: string): TlsScope {
  const scope = TLS_SCOPES.find((one) => one === text);
  if (scope === undefined) throw new InvalidArgumentError(`expected ${TLS_SCOPES.join(', ')}`);
  return scope;
}

function folder(text: string): string {
  if (text.trim() === '') throw new InvalidArgumentError('expected a folder');
  return text;
}

function size(text: string): number {
  const form = byteSize({ minBytes: 1 });
  const reading = form.read(text);
  if (reading.ok) return reading.value;
  throw new InvalidArgumentError(`expected ${form.expected}`);
}

function port(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 65_535)
    throw new InvalidArgumentError('expected 1 to 65535');
  return value;
}
