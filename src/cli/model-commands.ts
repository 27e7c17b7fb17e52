import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type StatePaths, statePaths } from '../config/paths.ts';
import { untilInterrupted } from './client-commands.ts';
import { localStateDir } from './local-state-dir.ts';

interface NodeChoice {
  readonly stateDir?: string;
}

/** Commands about models on this machine; they need no cluster. */
export function addModelCommands(program: Command): void {
  const model = program
    .command('model')
    .description(
      'models that this machine keeps: see, fetch ahead of an apply, remove; push one to a registry',
    );
  ofThisNode(model.command('list'))
    .description(
      'models with size, last use, and what uses them; what is being fetched, and how much of it has come',
    )
    .option('--json', 'machine-readable')
    .action(async (flags: NodeChoice & { json?: boolean }) => {
      const { listCommand } = await import('./model-list.ts');
      process.exitCode = await listCommand(await pathsOf(flags), { json: flags.json === true });
    });
  ofThisNode(model.command('pull <uri...>'))
    .description(
      'fetch models now, with the credentials of this shell, so that an apply that names them finds them here',
    )
    .action(async (uris: readonly string[], flags: NodeChoice) => {
      const { pullModels } = await import('./model-pull.ts');
      process.exitCode = await pullModels(await pathsOf(flags), { uris, signal: untilInterrupted() });
    });
  ofThisNode(model.command('prune'))
    .description(
      'remove models that nothing needs and nothing has used for a day, and what was left of fetches',
    )
    .option('--all', 'however recently they were used, and those that only earlier revisions name')
    .option('--dry-run', 'only show them')
    .action(async (flags: NodeChoice & { all?: boolean; dryRun?: boolean }) => {
      const { pruneModels } = await import('./model-prune.ts');
      const options = { all: flags.all === true, dryRun: flags.dryRun === true };
      process.exitCode = await pruneModels(await pathsOf(flags), options);
    });
  addPush(model);
}

function addPush(model: Command): void {
  model
    .command('push <folder> <image>')
    .description(
      'make an image of a folder and bring it into a registry (oci://HOST/NAME:TAG), with what `docker login` has written down; prints its digest',
    )
    .option('--base <image>', 'put the model on this image, such as busybox, so that KServe can run it')
    .action(async (folder: string, target: string, flags: { base?: string }) => {
      const { pushCommand } = await import('./model-push.ts');
      const signal = untilInterrupted();
      process.exitCode = await pushCommand({ folder, target, base: flags.base ?? null, signal });
    });
}

function ofThisNode(command: Command): Command {
  return command.option(
    '--state-dir <dir>',
    'which node of this machine (default: the head, else the worker)',
  );
}

async function pathsOf({ stateDir }: NodeChoice): Promise<StatePaths> {
  return statePaths(resolve(stateDir ?? (await localStateDir())));
}
