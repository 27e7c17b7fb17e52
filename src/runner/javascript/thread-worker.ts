import { BackendHost } from './backend-host.ts';
import { CallLine } from './call-line.ts';
import { noteApart } from './note.ts';
import { Offers } from './offers.ts';
import { writeOutputDirectly } from './thread-output.ts';
import type { ThreadTasks } from './thread-tasks.ts';
import { WorkMeter } from './work-meter.ts';

/** Entry of a piscina thread: its exports are the tasks of ThreadTasks. One thread holds one instance for as long as it lives. */
const host = new BackendHost();

writeOutputDirectly();
process.setSourceMapsEnabled(true); // stack traces name lines of backend.ts, not of its bundle

type Handler<Name extends keyof ThreadTasks> = (
  task: ThreadTasks[Name]['task'],
) => Promise<ThreadTasks[Name]['reply']>;

export const start: Handler<'start'> = async (task) => {
  if (task.ownLog !== null) noteApart(task.ownLog);
  const reply = await host.start(task);
  if (reply.ok) openLine(task);
  return reply;
};
function openLine({ callPort, offers, meter }: ThreadTasks['start']['task']): void {
  new CallLine(callPort, host, { offers: new Offers(offers), meter: new WorkMeter(meter) }).open();
}

export const reconfigure: Handler<'reconfigure'> = (task) => host.reconfigure(task.config);
export const health: Handler<'health'> = () => host.health();
export const shutdown: Handler<'shutdown'> = () => host.shutdown();
