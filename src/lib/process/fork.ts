import { fork } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Exit } from './exit.ts';

/** A child process of this one that runs a program for Node, with a channel between the two. */
export interface ForkedProcess {
  /** -1 where it could not be started at all */
  readonly pid: number;
  /** once it has ended, or could not be started */
  readonly exited: Promise<Exit>;
  /**
   * Sends a message (plain JSON), with a connection where one is given. The connection stays open here, too: who gives
   * it away destroys it once it has arrived. What is sent to a process that ends is lost.
   */
  send(message: object, socket?: Socket): void;
  /** who hears its messages; one only */
  onMessage(listener: (message: unknown) => void): void;
  kill(signal: NodeJS.Signals): void;
}

/** Starts a program file in this process' session, with its environment and its output. */
export function forkProcess(entry: string, args: readonly string[]): ForkedProcess {
  const child = fork(entry, [...args], { stdio: 'inherit' });
  const exited = new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
    child.on('error', () => {
      if (child.pid === undefined) resolve({ code: null, signal: null });
    });
  });
  const ignore = (): void => {}; // its end tells that the channel is closed
  return {
    pid: child.pid ?? -1,
    exited,
    send: (message, socket) => {
      if (!child.connected) return;
      if (socket === undefined) child.send(message, ignore);
      else child.send(message, socket, { keepOpen: true }, ignore);
    },
    onMessage: (listener) => {
      child.on('message', listener);
    },
    kill: (signal) => {
      child.kill(signal);
    },
  };
}
