import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { ConnectorConfig, ConnectorLogLevel } from '../config/connector-config.ts';
import { messageOf } from '../lib/errors.ts';
import { type Log, silentLog } from '../lib/log.ts';
import { openLog } from '../telemetry/logger.ts';

/** One request to a store, when it has ended. */
export interface RemoteRequest {
  /** `oss://bucket/key`, or with a prefix where it was a listing */
  readonly uri: string;
  readonly kind: 'stat' | 'list' | 'read';
  /** `0-8388607`; '' for none */
  readonly range: string;
  readonly tookMs: number;
  /** null: it had what it asked for */
  readonly failure: string | null;
}

/** Where a connector writes what it does. */
export interface ConnectorLogs {
  readonly log: Log;
  readonly audit: (request: RemoteRequest) => void;
  /** why one of the files is not written; a sentence each */
  readonly warnings: readonly string[];
}

const LEVELS: readonly ConnectorLogLevel[] = ['debug', 'info', 'warn', 'error'];

/** Opens both files, whose folders are made. One that cannot be written is left out, and `warnings` says so. */
export function openConnectorLogs(
  config: Pick<ConnectorConfig, 'logLevel' | 'logPath' | 'auditPath'>,
): ConnectorLogs {
  const warnings: string[] = [];
  const open = (path: string, component: string): Log => {
    try {
      makeFolder(dirname(path));
      return openLog(path, component);
    } catch (error) {
      warnings.push(`${path}: nothing is written there: ${messageOf(error)}`);
      return silentLog;
    }
  };
  const audit = open(config.auditPath, 'audit');
  return {
    log: fromLevel(open(config.logPath, 'connector'), config.logLevel),
    audit: ({ kind, failure, ...request }) => {
      const fields = { ...request, tookMs: Math.round(request.tookMs) };
      if (failure === null) audit.info(fields, kind);
      else audit.warn({ ...fields, failure }, kind);
    },
    warnings,
  };
}

/** Folder by folder: Node's own way of doing it never ends below /proc. */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  makeFolder(dirname(path));
  mkdirSync(path);
}

function fromLevel(log: Log, level: ConnectorLogLevel): Log {
  const silent = LEVELS.slice(0, LEVELS.indexOf(level));
  return { ...log, ...Object.fromEntries(silent.map((name) => [name, silentLog[name]])) };
}
