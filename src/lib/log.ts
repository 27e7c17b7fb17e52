/** Fields first, then what happened: `log.warn({ nodeId, missedMs }, 'node lease expired')`. */
export type LogLine = (fields: Readonly<Record<string, unknown>>, message: string) => void;

/**
 * error: someone must act; warn: becomes an error if ignored; info: state changed; debug: the rest.
 * Never request bodies, never secrets.
 */
export interface Log {
  readonly debug: LogLine;
  readonly info: LogLine;
  readonly warn: LogLine;
  readonly error: LogLine;
}

/** For code that runs without a log (tests, one-shot commands). */
export const silentLog: Log = { debug: noop, info: noop, warn: noop, error: noop };

function noop(): void {
  // on purpose
}
