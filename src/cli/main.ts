#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { modelserveVersion } from '../config/version.ts';
import { addBackendCommands } from './backend-commands.ts';
import { addClientCommands } from './client-commands.ts';
import { addConnectorCommands } from './connector-commands.ts';
import { addDoctorCommand } from './doctor-command.ts';
import { addEnvironmentCommands } from './environment-commands.ts';
import { describeFailure, ExitCode } from './exit.ts';
import { addModelCommands } from './model-commands.ts';
import { addNodeCommands } from './node-commands.ts';
import { endsWithItsReader, printError } from './output.ts';
import { addRevisionCommands } from './revision-commands.ts';
import { addTokenCommands } from './token-commands.ts';

endsWithItsReader();
const program = new Command('modelserve')
  .description(
    'Serve models on your own machines: one conf.ini, one command, every package answers at its route.',
  )
  .version(modelserveVersion())
  .configureHelp({ sortSubcommands: false })
  .showSuggestionAfterError(true)
  .exitOverride();

addNodeCommands(program);
addClientCommands(program);
addBackendCommands(program);
addEnvironmentCommands(program);
addConnectorCommands(program);
addDoctorCommand(program);
addModelCommands(program);
addRevisionCommands(program);
addTokenCommands(program);

try {
  await program.parseAsync(process.argv);
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

function exitCodeOf(error: unknown): number {
  // commander has printed its own message; --help and --version end here, too, with code 0
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.done : ExitCode.usage;
  const { exitCode, text } = describeFailure(error);
  printError(text);
  return exitCode;
}
