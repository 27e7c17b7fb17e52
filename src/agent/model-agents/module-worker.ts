/**
 * Calls a user's agent in a process of its own: `node module-worker.js REQUEST RESULT`, both JSON files. What the module
 * prints is nobody's answer; what it returns, or throws, is written to RESULT.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

interface Request {
  readonly module: string;
  /** what `modelAction` gets */
  readonly call: object;
}

interface AgentModule {
  readonly modelAction?: unknown;
  readonly default?: { readonly modelAction?: unknown } | null;
}

const [, , requestFile = '', resultFile = ''] = process.argv;

try {
  const { module, call } = JSON.parse(readFileSync(requestFile, 'utf8')) as Request;
  const loaded = (await import(pathToFileURL(module).href)) as AgentModule;
  const action = loaded.modelAction ?? loaded.default?.modelAction;
  if (typeof action !== 'function') throw new Error('it exports no function modelAction');
  const result: unknown = await action(call);
  answer({ ok: true, result: result ?? null });
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  answer({ ok: false, message, stack: error instanceof Error ? (error.stack ?? '') : '' });
}

/** Timers and connections that the module has left open keep nobody waiting. */
function answer(result: object): void {
  writeFileSync(resultFile, JSON.stringify(result), { mode: 0o600 });
  process.exit(0);
}
