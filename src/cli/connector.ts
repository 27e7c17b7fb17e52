import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConnectorServer } from '../connector/connector-server.ts';
import { outlivesItsReader, print } from './output.ts';

const FIRST_CLIENT_MS = 30_000;

/**
 * Serves the Python package `ossmodelconnector` until its last client has gone; says `ready` and its socket once it listens.
 * @param given the socket; null: one in a private folder of its own
 */
export async function serveConnector(given: string | null): Promise<void> {
  outlivesItsReader();
  const folder = given === null ? await mkdtemp(join(tmpdir(), 'modelserve-connector-')) : null;
  const socketPath = given ?? join(folder ?? '', 's');
  try {
    await serveUntilIdle(socketPath);
  } finally {
    if (folder !== null) await rm(folder, { recursive: true, force: true });
  }
}

async function serveUntilIdle(socketPath: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const server = new ConnectorServer({ socketPath, firstClientMs: FIRST_CLIENT_MS, onIdle: () => end() });
    const end = (): void => {
      process.off('SIGINT', end).off('SIGTERM', end);
      server.stop().then(resolve, reject);
    };
    process.on('SIGINT', end).on('SIGTERM', end);
    server.start().then(() => print(`ready ${socketPath}`), reject);
  });
}
