import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { pino } from 'pino';
import type { Log } from '../lib/log.ts';

/**
 * The framework's log of one component: JSON lines, one file per component, flushed line by line so that a killed
 * process has said everything.
 */
export function openLog(file: string, component: string): Log {
  mkdirSync(dirname(file), { recursive: true });
  const logger = pino(
    { base: { component }, level: 'debug', timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: file, sync: true, mode: 0o600 }),
  );
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
  };
}
