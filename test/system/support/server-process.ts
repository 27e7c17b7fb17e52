import { type ChildProcess, spawn } from 'node:child_process';
import { connect } from 'node:net';
import { until } from './until.ts';

export interface ServerCommand {
  readonly what: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** whether it answers */
  readonly isReady: () => Promise<boolean>;
}

/** A server of somebody else's, which can be killed and started again with what it has stored. */
export class ServerProcess {
  readonly #command: ServerCommand;
  #child: ChildProcess | null = null;
  #gone: Promise<void> = Promise.resolve();

  constructor(command: ServerCommand) {
    this.#command = command;
  }

  async start(): Promise<void> {
    const { what, command, args, cwd, env, isReady } = this.#command;
    const child = spawn(command, [...args], { cwd, stdio: 'ignore', env: { ...process.env, ...env } });
    this.#child = child;
    this.#gone = new Promise((resolve) => child.once('close', () => resolve()));
    try {
      await until(what, isReady, 60_000);
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  /** @param signal one that it may act on, where it keeps in memory what has to be there again. Idempotent */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.#child?.kill(signal);
    await this.#gone;
  }
}

/** Whether something takes connections at a port of this machine. */
export async function isListening(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
