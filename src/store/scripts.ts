import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { packageRoot } from '../lib/package-root.ts';

/** The scripts of `src/store/scripts/`: what each takes and returns is in its header. */
const SCRIPT_NAMES = [
  'campaign',
  'renew-leadership',
  'resign',
  'publish-revision',
  'publish-assignment',
  'publish-routing',
  'publish-rotation',
  'forget-node',
  'publish-node',
  'remove-node',
  'put-field',
  'append-event',
] as const;

export type ScriptName = (typeof SCRIPT_NAMES)[number];

export interface ScriptCall {
  readonly keys: readonly string[];
  readonly args: readonly (string | number)[];
}

type ScriptCommand = (keyCount: number, ...keysAndArgs: readonly (string | number)[]) => Promise<unknown>;

/**
 * Makes the scripts known to a client; ioredis sends each by its hash and in full where the server has not seen it.
 * The compiler copies no Lua: the files are read from the package's `src/`.
 */
export function defineScripts(redis: Redis): void {
  const folder = join(packageRoot(), 'src', 'store', 'scripts');
  const shared = readFileSync(join(folder, 'shared.lua'), 'utf8');
  for (const name of SCRIPT_NAMES) {
    redis.defineCommand(commandName(name), {
      lua: `${shared}\n${readFileSync(join(folder, `${name}.lua`), 'utf8')}`,
    });
  }
}

export function runScript(redis: Redis, name: ScriptName, call: ScriptCall): Promise<unknown> {
  // defineCommand adds the method at run time, so the type of a client cannot know it.
  const command = Reflect.get(redis, commandName(name)) as ScriptCommand;
  return command.call(redis, call.keys.length, ...call.keys, ...call.args);
}

function commandName(name: ScriptName): string {
  return `modelserve:${name}`;
}
