import type { Readable, Writable } from 'node:stream';
import { execa } from 'execa';
import { messageOf } from '../errors.ts';

/** A program that turns what is written to it into what can be read from it. */
export interface Filter {
  readonly input: Writable;
  readonly output: Readable;
  /** @throws Error with its words when it does not end in order */
  ended(): Promise<void>;
  /** Ends it now. Idempotent. */
  kill(): void;
}

/** Starts a program between a stream and another. @param env the whole environment; nothing is inherited */
export function startFilter(program: string, args: readonly string[], env: Record<string, string>): Filter {
  const child = execa(program, [...args], {
    ...{ cwd: '/', env, extendEnv: false, reject: false, encoding: 'buffer' },
    buffer: { stdout: false, stderr: true },
  });
  child.stdin.on('error', () => undefined); // it has ended; `ended` says why
  return {
    input: child.stdin,
    output: child.stdout,
    ended: async () => {
      const { failed, exitCode, stderr, cause } = await child;
      if (!failed) return;
      const words =
        Buffer.from(stderr ?? [])
          .toString('utf8')
          .trim() || messageOf(cause ?? `exit code ${exitCode}`);
      throw new Error(`${program}: ${words}`);
    },
    kill: () => void child.kill('SIGKILL'),
  };
}
