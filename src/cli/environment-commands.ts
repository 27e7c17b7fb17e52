import { resolve } from 'node:path';
import type { Command } from 'commander';
import { statePaths } from '../config/paths.ts';
import { untilInterrupted } from './client-commands.ts';
import { localStateDir } from './local-state-dir.ts';

interface NodeChoice {
  readonly stateDir?: string;
}

/** Commands about what this machine has built for packages; they need no cluster. */
export function addEnvironmentCommands(program: Command): void {
  const env = program
    .command('env')
    .description('environments that this machine has built for packages: see, build ahead, remove');
  ofThisNode(env.command('list'))
    .description('environments with what they are, who uses them, size and last use')
    .option('--json', 'machine-readable')
    .action(async (flags: NodeChoice & { json?: boolean }) => {
      const { listEnvironments } = await import('./env-list.ts');
      process.exitCode = await listEnvironments(await pathsOf(flags), { json: flags.json === true });
    });
  ofThisNode(env.command('build [packages...]'))
    .description(
      'build the environments of a conf.ini here ahead of its apply (default: of all its packages)',
    )
    .option('--conf <file>', 'the file', 'conf.ini')
    .action(async (packages: readonly string[], flags: NodeChoice & { conf: string }) => {
      const { buildEnvironments } = await import('./env-build.ts');
      const signal = untilInterrupted();
      process.exitCode = await buildEnvironments(await pathsOf(flags), {
        conf: flags.conf,
        packages,
        signal,
      });
    });
  ofThisNode(env.command('prune'))
    .description(
      'remove environments that no recorded revision and no replica here needs, unused for 30 days; shows them first',
    )
    .option('--all-unused', 'however recently they were used')
    .option('--yes', 'remove them; without it they are only shown')
    .action(async (flags: NodeChoice & { allUnused?: boolean; yes?: boolean }) => {
      const { pruneEnvironments } = await import('./env-prune.ts');
      const options = { allUnused: flags.allUnused === true, yes: flags.yes === true };
      process.exitCode = await pruneEnvironments(await pathsOf(flags), options);
    });
}

function ofThisNode(command: Command): Command {
  return command.option(
    '--state-dir <dir>',
    'which node of this machine (default: the head, else the worker)',
  );
}

async function pathsOf({ stateDir }: NodeChoice): Promise<ReturnType<typeof statePaths>> {
  return statePaths(resolve(stateDir ?? (await localStateDir())));
}
