import { resolve } from 'node:path';
import { ServeError } from '../lib/errors.ts';
import type { Variables } from './environment.ts';

/** How the loader of a preloaded program was called: all of it in the program's environment. */
export interface PreloadSettings {
  /** `OSS_PATH`: a folder in OSS, or what else `model` of conf.ini may name */
  readonly uri: string;
  /** `MODEL_DIR`, absolute */
  readonly modelDir: string;
  /** the program that waits for its model */
  readonly servedPid: number;
  /** `MODELSERVE_CONNECTOR_CONFIG`, or where the connector's own packages put it */
  readonly configPath: string;
}

const CONFIG_PATH = '/etc/oss-connector/config.json';

/** @throws ServeError PRELOAD_SETTINGS naming the variable that is missing or wrong */
export function readPreloadSettings(env: Variables = process.env): PreloadSettings {
  const servedPid = Number(env['MODELSERVE_PRELOAD_SERVES']);
  if (!Number.isInteger(servedPid) || servedPid <= 0) {
    throw wrong('this program is started by the preload library: see `modelserve preload`');
  }
  const [uri, modelDir] = [env['OSS_PATH'] || null, env['MODEL_DIR'] || null];
  if (uri === null)
    throw wrong('OSS_PATH is not set: expected the folder of the model, as oss://bucket/path/');
  if (modelDir === null)
    throw wrong('MODEL_DIR is not set: expected the folder that the program reads its model from');
  if (/[:\t\n]/.test(resolve(modelDir)))
    throw wrong(
      `MODEL_DIR is "${modelDir}": expected a folder without colons, tabs or line ends in its path`,
    );
  return {
    ...{ uri, servedPid, modelDir: resolve(modelDir) },
    configPath: env['MODELSERVE_CONNECTOR_CONFIG'] || CONFIG_PATH,
  };
}

function wrong(message: string): ServeError {
  return new ServeError(message, { code: 'PRELOAD_SETTINGS' });
}
