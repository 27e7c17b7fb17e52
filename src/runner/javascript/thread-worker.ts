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
  moved(await host.call(task), (reply) => [reply.chunk]);
export const batch = async (task: ThreadTasks['batch']['task']): Promise<unknown> =>
  moved(await host.batch(task), ({ replies }) => replies.map((reply) => reply.chunk));
export const next = async (): Promise<unknown> => moved(await host.next(), (reply) => [reply.chunk]);
export const cancel: Handler<'cancel'> = () => host.cancel();
export const reconfigure: Handler<'reconfigure'> = (task) => host.reconfigure(task.config);
export const health: Handler<'health'> = () => host.health();
export const shutdown: Handler<'shutdown'> = () => host.shutdown();

/** A reply whose bytes change hands instead of being copied. */
function moved<Reply>(reply: Reply, bytesOf: (reply: Reply) => readonly Uint8Array[]): unknown {
  const buffers = bytesOf(reply).map((bytes) => bytes.buffer);
  return move({ [transferableSymbol]: buffers, [valueSymbol]: reply } as unknown as ArrayBuffer);
}
