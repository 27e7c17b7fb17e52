import { readFileSync } from 'node:fs';
import { PROTOCOL_VERSION } from '../../channel/frames.ts';
import type { LaunchFile } from '../../channel/launch.ts';
import { messageOf, ServeError } from '../../lib/errors.ts';

const TEXTS = ['replica', 'deployment', 'socket', 'code_dir', 'package', 'backend', 'model_path'] as const;
const NUMBERS = [
  'log_max_bytes',
  'log_files',
  'max_ongoing',
  'concurrency',
  'max_batch_size',
  'orphan_timeout_s',
] as const;

/**
 * Reads and checks the launch file.
 * @throws ServeError BAD_LAUNCH naming the file and the field that is missing or of the wrong type
 */
export function readLaunch(path: string): LaunchFile {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw badLaunch(`cannot read the launch file ${path}: ${messageOf(cause)}`);
  }
  if (!isLaunch(parsed)) throw badLaunch(`launch file ${path}: ${faultOf(parsed)}`);
  if (parsed.protocol !== PROTOCOL_VERSION) {
    throw badLaunch(
      `launch file ${path} has protocol ${parsed.protocol}, this runner speaks ${PROTOCOL_VERSION}: ` +
        'agent and runner must come from the same version of modelserve',
    );
  }
  return parsed;
}

function isLaunch(parsed: unknown): parsed is LaunchFile {
  return faultOf(parsed) === null;
}

function faultOf(parsed: unknown): string | null {
  if (typeof parsed !== 'object' || parsed === null) return 'expected a JSON object';
  const fields = parsed as Record<string, unknown>;
  const text = TEXTS.find((name) => typeof fields[name] !== 'string');
  if (text !== undefined) return `"${text}" must be a string, found ${JSON.stringify(fields[text])}`;
  const { log } = fields as Partial<LaunchFile>;
  if (typeof log !== 'string' && log !== null)
    return `"log" must be a path or null, found ${JSON.stringify(log)}`;
  const { log_output: logOutput } = fields;
  if (logOutput !== undefined && typeof logOutput !== 'boolean')
    return `"log_output" must be true or false, found ${JSON.stringify(logOutput)}`;
  const number = NUMBERS.find((name) => typeof fields[name] !== 'number' || !((fields[name] as number) > 0));
  if (number !== undefined)
    return `"${number}" must be a number above 0, found ${JSON.stringify(fields[number])}`;
  return null;
}

function badLaunch(message: string): ServeError {
  return new ServeError(message, { code: 'BAD_LAUNCH' });
}
