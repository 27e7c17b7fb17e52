import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { LOG_COMPONENTS } from '../config/paths.ts';
import { configMarkdown, configReference } from '../config/reference.ts';
import { controllerCommand } from './controller.ts';
import { watchAndApply } from './controller-watch.ts';
import { ExitCode } from './exit.ts';
import { logsCommand } from './logs.ts';
import { print } from './output.ts';
import { statusCommand } from './status.ts';
import { adminClient, type TargetOptions } from './target.ts';

/** Options by which every client command finds the cluster. */
export function withTarget(command: Command): Command {
  return command
    .option(
      '--address <host:port>',
      "the head's admin API, https://HOST:PORT where it has TLS (MODELSERVE_ADDRESS; default: this user's local head)",
    )
    .option(
      '--ca <file>',
      "whom to trust beside public authorities (MODELSERVE_CA; the cluster's own follows from its token)",
    )
    .option('--token <token>', 'cluster token or API key (MODELSERVE_TOKEN)')
    .option('--token-file <file>', "file that holds the token (default: the local state directory's)");
}

export function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('expected a number of seconds above 0');
  return value;
}

export function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('expected a whole number');
  return Number(text);
}

/** Aborts on Ctrl-C, for commands that go on until then. */
export function untilInterrupted(): AbortSignal {
  const interrupted = new AbortController();
  process.once('SIGINT', () => interrupted.abort());
  process.once('SIGTERM', () => interrupted.abort());
  return interrupted.signal;
}

interface ControllerFlags extends TargetOptions {
  readonly conf: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly wait: boolean;
  readonly timeout: number;
  readonly watch?: boolean;
}

export function addClientCommands(program: Command): void {
  addController(program);
  withTarget(program.command('status'))
    .description('nodes, GPUs with free fractions, deployments, replicas, what is wrong and what to do')
    .option('--json', 'machine-readable')
    .option('--watch', 'go on, printing whenever something has changed')
    .action(async (flags: TargetOptions & { json?: boolean; watch?: boolean }) => {
      const options = { json: flags.json === true, watch: flags.watch === true, signal: untilInterrupted() };
      process.exitCode = await statusCommand(await adminClient(flags), options);
    });
  addLogs(program);
  withTarget(program.command('call <route>'))
    .description('send one request to a route and print the answer')
    .option('--param <json|@file>', 'JSON body', '{}')
    .action(async (route: string, flags: TargetOptions & { param: string }) => {
      const { callCommand } = await import('./call.ts');
      process.exitCode = await callCommand(await adminClient(flags), { route, param: flags.param });
    });
  program
    .command('config')
    .description('reference of every key of conf.ini')
    .option('--markdown', 'as markdown')
    .action((flags: { markdown?: boolean }) => {
      print(flags.markdown === true ? configMarkdown() : configReference());
      process.exitCode = ExitCode.done;
    });
}

function addController(program: Command): void {
  withTarget(program.command('controller'))
    .description('bring an edited conf.ini into force: validate, show the plan, apply, follow the rollout')
    .option('--conf <file>', 'the file', 'conf.ini')
    .option('--dry-run', 'only validate and show the plan')
    .option('--json', 'machine-readable')
    .option('--no-wait', 'end when the revision is recorded')
    .option('--watch', 'go on: apply after every save of conf.ini or of a package (for development)')
    .option('--timeout <s>', 'end with code 3 after this long without progress', seconds, 60)
    .addHelpText(
      'after',
      '\nEnds with 0 in force, 1 failed (the old state serves on), 2 mistakes in the file, 3 pending,\n4 cluster not reachable or token refused, 5 superseded by a later revision.',
    )
    .action(async (flags: ControllerFlags) => {
      const apply = async (signal?: AbortSignal) =>
        await controllerCommand(async () => await adminClient(flags), {
          conf: flags.conf,
          dryRun: flags.dryRun === true,
          json: flags.json === true,
          wait: flags.wait,
          timeoutMs: flags.timeout * 1000,
          ...(signal === undefined ? {} : { signal }),
        });
      process.exitCode =
        flags.watch === true
          ? await watchAndApply({ conf: resolve(flags.conf), signal: untilInterrupted() }, apply)
          : await apply();
    });
}

interface LogsFlags extends TargetOptions {
  readonly replica?: string;
  readonly node?: string;
  readonly component?: string;
  readonly request?: string;
  readonly since?: string;
  readonly follow?: boolean;
  readonly lines?: number;
}

function addLogs(program: Command): void {
  withTarget(program.command('logs [deployment]'))
    .description("output of a deployment's replicas, modelserve's own lines, or all of one request")
    .option('--replica <id>', 'only this replica')
    .option('--component <name>', `lines of JSON of ${LOG_COMPONENTS.join(', ')}, on all nodes`)
    .option('--request <id>', 'what ingresses and replicas wrote of this request (x-request-id)')
    .option('--node <id>', 'only what was written on this node')
    .option(
      '--since <age|time>',
      'with --component or --request: from then on (30s, 10m, 2h, 1d, or ISO 8601)',
    )
    .option('-f, --follow', 'go on as more is written')
    .option('-n, --lines <count>', 'how many of the last lines (default: 100)', wholeNumber)
    .action(async (deployment: string | undefined, flags: LogsFlags) => {
      process.exitCode = await logsCommand(await adminClient(flags), {
        ...{ deployment: deployment ?? null, replica: flags.replica ?? null, node: flags.node ?? null },
        ...{ component: flags.component ?? null, request: flags.request ?? null },
        ...{ since: flags.since ?? null, lines: flags.lines ?? null, follow: flags.follow === true },
        signal: untilInterrupted(),
      });
    });
}
