import { pino } from 'pino';
import type { Log } from '../lib/log.ts';
import { RotatingFile } from '../lib/rotating-file.ts';

/**
 * The framework's log of one component: JSON lines, one file per component, within bounds, flushed line by line so that
 * a killed process has said everything.
 * @throws where the file cannot be opened
 */
export function openLog(file: string, component: string): Log {
  const logger = pino(
    {
      base: { component, pid: process.pid },
      level: 'debug',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    new RotatingFile(file),
  );
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
  };
}
