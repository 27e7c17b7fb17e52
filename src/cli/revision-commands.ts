import type { Command } from 'commander';
import { clusterKeys } from '../config/token.ts';
import { seconds, untilInterrupted, withTarget } from './client-commands.ts';
import { CommandFailure, ExitCode } from './exit.ts';
import { print } from './output.ts';
import { adminClient, type TargetOptions, tokenOf } from './target.ts';

interface RollbackFlags extends TargetOptions {
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly wait: boolean;
  readonly timeout: number;
}

/** Commands about what was applied before, and the keys that programs need. */
export function addRevisionCommands(program: Command): void {
  withTarget(program.command('revisions'))
    .description('what was applied, newest first, and what of it is in force')
    .option('--json', 'machine-readable')
    .action(async (flags: TargetOptions & { json?: boolean }) => {
      const { revisionsCommand } = await import('./revisions.ts');
      process.exitCode = await revisionsCommand(await adminClient(flags), flags.json === true);
    });
  withTarget(program.command('diff <from> [to]'))
    .description('what going from one revision to another (default: the newest) changes')
    .option('--json', 'machine-readable')
    .action(async (from: string, to: string | undefined, flags: TargetOptions & { json?: boolean }) => {
      const { diffCommand } = await import('./revisions.ts');
      const range = { from: revision(from), to: to === undefined ? null : revision(to) };
      process.exitCode = await diffCommand(await adminClient(flags), range, flags.json === true);
    });
  addRollback(program);
  addKey(program);
}

function addRollback(program: Command): void {
  withTarget(program.command('rollback <revision>'))
    .description('bring an earlier revision into force again, as a new one: code, models and settings')
    .option('--dry-run', 'only show what would change')
    .option('--json', 'machine-readable')
    .option('--no-wait', 'end when the revision is recorded')
    .option('--timeout <s>', 'end with code 3 after this long without progress', seconds, 60)
    .action(async (number: string, flags: RollbackFlags) => {
      const { rollbackCommand } = await import('./revisions.ts');
      process.exitCode = await rollbackCommand(await adminClient(flags), revision(number), {
        dryRun: flags.dryRun === true,
        json: flags.json === true,
        wait: flags.wait,
        timeoutMs: flags.timeout * 1000,
        signal: untilInterrupted(),
      });
    });
}

const KEYS = { api: 'apiKey', viewer: 'viewerKey', metrics: 'metricsKey' } as const;

function addKey(program: Command): void {
  program
    .command('key <kind>')
    .description(
      'print a key that follows from the cluster token: `api` for programs that use the admin API, `viewer` for people and programs that may look and change nothing, `metrics` for one that only reads metrics',
    )
    .option('--token <token>', 'cluster token (MODELSERVE_TOKEN)')
    .option('--token-file <file>', "file that holds the token (default: the local state directory's)")
    .action(async (kind: string, flags: TargetOptions) => {
      const name = Object.entries(KEYS).find(([one]) => one === kind)?.[1];
      if (name === undefined)
        throw new CommandFailure(`expected api, viewer or metrics, found "${kind}"`, ExitCode.usage);
      print(clusterKeys(await tokenOf(flags))[name]);
      process.exitCode = ExitCode.done;
    });
}

function revision(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text))
    throw new CommandFailure(
      `expected the number of a revision, found "${text}"; see \`modelserve revisions\``,
      ExitCode.usage,
    );
  return Number(text);
}
