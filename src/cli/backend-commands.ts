import { relative, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { initPackage, type TemplateLanguage } from '../packages/template.ts';
import { untilInterrupted } from './client-commands.ts';
import { ExitCode } from './exit.ts';
import { print } from './output.ts';

interface CheckFlags {
  readonly backend?: string;
  readonly param?: string;
  readonly model?: string;
  readonly python?: string;
  readonly environment?: string;
  readonly debug?: boolean;
}

/** Commands for whoever writes a package; they need no cluster. */
export function addBackendCommands(program: Command): void {
  program
    .command('init <name>')
    .description('a new package from the template, in algopkg/<name>')
    .addOption(
      new Option('--lang <language>', 'of the backend').choices(['python', 'typescript']).default('python'),
    )
    .action(async (name: string, flags: { lang: TemplateLanguage }) => {
      process.exitCode = await initCommand(name, flags.lang);
    });
  program
    .command('check <package>')
    .description(
      'load a package in its own environment, without a cluster, call it and print the answer or the traceback',
    )
    .option('--backend <class>', 'the class (default: as conf.ini says, else the only one there is)')
    .option('--param <json|@file>', "JSON body (default: the package's example.json, else {})")
    .option('--model <a,b>', 'files in Model_ZOO (default: as conf.ini says)')
    .option('--python <version|path>', 'another interpreter than conf.ini says, as another node may have')
    .option('--environment <kind>', 'another environment than conf.ini says: venv, system, conda:NAME, …')
    .option('--debug', 'wait for a debugger on loopback: debugpy for Python, --inspect for JavaScript')
    .action(async (packageName: string, flags: CheckFlags) => {
      const { checkCommand } = await import('./check.ts');
      process.exitCode = await checkCommand({
        packageName,
        backend: flags.backend ?? null,
        param: flags.param ?? null,
        model: flags.model ?? null,
        python: flags.python ?? null,
        environment: flags.environment ?? null,
        debug: flags.debug === true,
        signal: untilInterrupted(),
      });
    });
  addPreloadCommand(program);
}

function addPreloadCommand(program: Command): void {
  program
    .command('preload')
    .description('path of the library for LD_PRELOAD that lets a program start while its model is fetched')
    .action(async () => {
      const { preloadCommand } = await import('./preload.ts');
      process.exitCode = await preloadCommand();
    });
}

async function initCommand(name: string, language: TemplateLanguage): Promise<ExitCode> {
  const { files, section } = await initPackage({ name, language, packagesDir: resolve('algopkg') });
  for (const file of files) print(`wrote ${relative('.', file)}`);
  print(
    `\nTry it:    modelserve check ${name}\nServe it:  add this to conf.ini, then run \`modelserve controller\`\n\n${section}`,
  );
  return ExitCode.done;
}
