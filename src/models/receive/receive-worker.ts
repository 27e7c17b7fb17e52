import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { codeOf, messageOf } from '../../lib/errors.ts';
import { RangeClient } from './range-client.ts';
import type { FromThread, ThreadSettings, ToThread } from './receive-messages.ts';
import type { ReceiveTask } from './types.ts';

/** Entry of a receiving thread: whoever asked learns of progress this often at most. */
const PROGRESS_EVERY_MS = 50;

serve(parentPort as MessagePort, workerData as ThreadSettings);

function serve(port: MessagePort, { tls }: ThreadSettings): void {
  const client = new RangeClient(tls);
  const running = new Map<number, AbortController>();
  const send = (message: FromThread): void => port.postMessage(message);
  const receive = async (id: number, task: ReceiveTask): Promise<void> => {
    const cancel = new AbortController();
    running.set(id, cancel);
    let count = 0;
    let toldAtMs = performance.now();
    const tell = (): void => {
      if (count > 0) send({ type: 'progress', id, count });
      count = 0;
      toldAtMs = performance.now();
    };
    const onBytes = (bytes: number): void => {
      count += bytes;
      if (performance.now() - toldAtMs >= PROGRESS_EVERY_MS) tell();
    };
    try {
      const received = await client.receive(task, { signal: cancel.signal, onBytes });
      tell();
      send({ type: 'received', id, received });
    } catch (error) {
      tell();
      send({ type: 'failed', id, code: codeOf(error), message: messageOf(error) });
    } finally {
      running.delete(id);
    }
  };
  port.on('message', (message: ToThread) => {
    if (message.type === 'receive') void receive(message.id, message.task);
    else running.get(message.id)?.abort();
  });
}
