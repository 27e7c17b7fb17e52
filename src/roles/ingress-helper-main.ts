import type { Socket } from 'node:net';
import { HelperProcess } from '../ingress/helpers/helper-process.ts';
import type { ToHelper } from '../ingress/helpers/messages.ts';
import { openLog } from '../telemetry/logger.ts';

/**
 * A helper of an ingress: `ingress-helper-main.js LOG`, forked by the ingress process, which tells it everything else.
 * Runs until it is told to end, has left, or its main process is gone. Signals that are sent to a whole group of
 * processes are the main process' to act on.
 */
process.on('SIGTERM', () => {});
process.on('SIGINT', () => {});
const log = openLog(process.argv[2] ?? '', 'ingress helper');
await new Promise<void>((resolve) => {
  const helper = new HelperProcess({
    log,
    say: (message) =>
      new Promise((written) => {
        if (process.connected) process.send?.(message, undefined, undefined, () => written());
        else written();
      }),
    onEnd: resolve,
  });
  process.on('message', (message, socket) =>
    helper.receive(message as ToHelper, socket as Socket | undefined),
  );
  process.once('disconnect', () => {
    log.warn({ pid: process.pid }, 'the main process is gone: finishing what is under way');
    void helper.orphaned();
  });
});
process.exit(0);
