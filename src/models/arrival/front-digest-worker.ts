import { type MessagePort, parentPort } from 'node:worker_threads';
import { codeOf, messageOf } from '../../lib/errors.ts';
import type { FromFrontThread, ToFrontThread } from './front-messages.ts';
import { FrontReading } from './front-reading.ts';

/** Entry of a thread that hashes files while they come. After so much of one it looks whether something else is due. */
const STEP_BYTES = 8 * 1024 ** 2;

interface Due {
  readonly path: string;
  readonly toBytes: number;
  readonly isWhole: boolean;
}

serve(parentPort as MessagePort);

function serve(port: MessagePort): void {
  const readings = new Map<number, FrontReading>();
  /** files of which more is there than has been read, in turn */
  const due = new Map<number, Due>();
  const send = (message: FromFrontThread): void => port.postMessage(message);
  const drop = (id: number): void => {
    due.delete(id);
    readings.get(id)?.close();
    readings.delete(id);
  };
  const step = (id: number, wanted: Due): void => {
    due.delete(id);
    try {
      const reading = readings.get(id) ?? new FrontReading(wanted.path);
      readings.set(id, reading);
      if (!reading.step(wanted.toBytes, STEP_BYTES)) due.set(id, wanted);
      else if (wanted.isWhole) {
        send({ type: 'digest', id, digest: reading.digest() });
        drop(id);
      }
    } catch (error) {
      send({ type: 'failed', id, code: codeOf(error), message: messageOf(error) });
      drop(id);
    }
  };
  let isUnderWay = false;
  const stepOn = (): void => {
    const [next] = due;
    if (next !== undefined) step(...next);
    isUnderWay = due.size > 0;
    if (isUnderWay) setImmediate(stepOn);
  };
  port.on('message', (message: ToFrontThread) => {
    if (message.type === 'drop') return drop(message.id);
    due.set(message.id, message);
    if (!isUnderWay) setImmediate(stepOn);
    isUnderWay = true;
  });
}
