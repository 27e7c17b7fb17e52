import { isRunning, type ProcessIdentity } from './identity.ts';

export interface ExitWatch {
  /** resolves once the process is gone; stays pending after `stop` */
  readonly exited: Promise<void>;
  /** looks now instead of at the next turn: for whoever has a hint, such as a closed connection */
  readonly check: () => void;
  readonly stop: () => void;
}

/**
 * Notices the end of a process that is no child of this one and therefore gives no exit event: looks into /proc.
 * @param intervalMs between looks; 200 by default
 */
export function watchExit(identity: ProcessIdentity, intervalMs = 200): ExitWatch {
  let done: () => void = () => undefined;
  const exited = new Promise<void>((resolve) => {
    done = resolve;
  });
  const check = (): void => {
    if (isRunning(identity)) return;
    clearInterval(timer);
    done();
  };
  const timer = setInterval(check, intervalMs);
  return { exited, check, stop: () => clearInterval(timer) };
}
