import { move, transferableSymbol, valueSymbol } from 'piscina';
import { BackendHost } from './backend-host.ts';
import { writeOutputDirectly } from './thread-output.ts';
import type { ThreadTasks } from './thread-tasks.ts';

/** Entry of a piscina thread: its exports are the tasks of ThreadTasks. One thread holds one instance for as long as it lives. */
const host = new BackendHost();

writeOutputDirectly();
process.setSourceMapsEnabled(true); // stack traces name lines of backend.ts, not of its bundle

type Handler<Name extends keyof ThreadTasks> = (
  task: ThreadTasks[Name]['task'],
) => Promise<ThreadTasks[Name]['reply']>;

export const start: Handler<'start'> = (task) => host.start(task);
export const call = async (task: ThreadTasks['call']['task']): Promise<unknown> =>
  moved(await host.call(task));
export const next = async (): Promise<unknown> => moved(await host.next());
export const cancel: Handler<'cancel'> = () => host.cancel();
export const reconfigure: Handler<'reconfigure'> = (task) => host.reconfigure(task.config);
export const health: Handler<'health'> = () => host.health();
export const shutdown: Handler<'shutdown'> = () => host.shutdown();

/** A reply whose bytes change hands instead of being copied. */
function moved(reply: ThreadTasks['call' | 'next']['reply']): unknown {
  if (!('chunk' in reply)) return reply;
  return move({ [transferableSymbol]: [reply.chunk.buffer], [valueSymbol]: reply } as unknown as ArrayBuffer);
}
