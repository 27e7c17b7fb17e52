import { readFileSync } from 'node:fs';
import {
  type ConnectorConfigReading,
  defaultConnectorConfig,
  readConnectorConfig,
} from '../config/connector-config.ts';
import { messageOf, ServeError } from '../lib/errors.ts';

/** Reads a `config.json`; '' stands for the defaults. @throws ServeError CONNECTOR_CONFIG */
export function readConfigFile(path: string): ConnectorConfigReading {
  if (path === '') return { config: defaultConnectorConfig(), warnings: [] };
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const message = `${path}: the configuration cannot be read: ${messageOf(cause)}`;
    throw new ServeError(message, { code: 'CONNECTOR_CONFIG' }, { cause });
  }
  return readConnectorConfig(text, path);
}
