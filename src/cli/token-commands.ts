import type { Command } from 'commander';
import { seconds, withTarget } from './client-commands.ts';
import { ExitCode } from './exit.ts';
import { print, printError } from './output.ts';
import { adminClient, type TargetOptions, tokenOf, tokenPlace } from './target.ts';

interface RotateFlags extends TargetOptions {
  readonly cancel?: boolean;
  readonly timeout: number;
}

/** Commands about the cluster's token. */
export function addTokenCommands(program: Command): void {
  const token = program.command('token').description("the cluster's token: show it, replace it");
  token
    .command('show')
    .description('print the token that lies on this machine')
    .option('--token-file <file>', "file that holds the token (default: the local state directory's)")
    .action(async (flags: TargetOptions) => {
      const found = await tokenOf(flags);
      printError(`from ${tokenPlace(flags)}`);
      print(found);
      process.exitCode = ExitCode.done;
    });
  withTarget(token.command('status'))
    .description('which token is in use, by its id, and how far its replacement has come')
    .option('--json', 'machine-readable')
    .action(async (flags: TargetOptions & { json?: boolean }) => {
      const { tokenStatusCommand } = await import('./token.ts');
      process.exitCode = await tokenStatusCommand(await adminClient(flags), flags.json === true);
    });
  withTarget(token.command('rotate'))
    .description('replace the token while everything runs: keys, passwords and certificates follow')
    .option('--cancel', 'go back to the old one, as long as no node has dropped it')
    .option('--timeout <s>', 'how long a node may take to follow before all go back', seconds, 60)
    .action(async (flags: RotateFlags) => {
      const { rotateCommand } = await import('./token.ts');
      process.exitCode = await rotateCommand(async () => await adminClient(flags), {
        isCancelled: flags.cancel === true,
        timeoutS: flags.timeout,
      });
    });
}
