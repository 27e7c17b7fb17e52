import { readFile } from 'node:fs/promises';
import { messageOf } from '../lib/errors.ts';
import { CommandFailure, ExitCode } from './exit.ts';

/**
 * The text of `--param JSON|@FILE`, checked to be JSON.
 * @throws CommandFailure (usage) naming what is wrong with it
 */
export async function readParam(param: string): Promise<string> {
  const text = param.startsWith('@') ? await readParamFile(param.slice(1)) : param;
  try {
    JSON.parse(text);
  } catch (cause) {
    throw new CommandFailure(
      `--param is not JSON: ${messageOf(cause)}. Quote it for the shell, or use @FILE.`,
      ExitCode.usage,
      cause,
    );
  }
  return text;
}

async function readParamFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new CommandFailure(`cannot read the file of --param: ${messageOf(cause)}`, ExitCode.usage, cause);
  }
}
