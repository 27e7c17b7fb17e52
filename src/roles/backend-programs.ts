import { hostname } from 'node:os';
import { join } from 'node:path';
import type { PrepareOptions } from '../agent/environments/prepare-backend.ts';
import { childEnvironment } from '../config/environment.ts';
import { NodeValues } from '../config/node-values.ts';
import { modelserveVersion } from '../config/version.ts';
import { packageRoot } from '../lib/package-root.ts';

/** The programs that run backends, as this installation has them. @param node how messages name this one */
export function backendPrograms(
  node = hostname(),
): Omit<PrepareOptions, 'environmentsDir' | 'stageDir' | 'builds'> {
  const root = packageRoot();
  return {
    runners: {
      python: join(root, 'src', 'runner', 'python', 'main.py'),
      javascript: join(root, 'dist', 'runner', 'javascript', 'main.js'),
    },
    version: modelserveVersion(),
    values: new NodeValues(childEnvironment(), node),
    nodePath: process.execPath,
    nodeVersion: process.versions.node,
    // A backend that opens objects of OSS (ossmodelconnector) starts the server for it by these.
    baseEnv: {
      ...childEnvironment(),
      MODELSERVE_BIN: join(root, 'dist', 'cli', 'main.js'),
      MODELSERVE_NODE: process.execPath,
    },
  };
}
