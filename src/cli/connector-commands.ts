import { resolve } from 'node:path';
import type { Command } from 'commander';

/** The command behind the Python package `ossmodelconnector`. */
export function addConnectorCommands(program: Command): void {
  program
    .command('connector')
    .description('serve Python processes that open objects of OSS (ossmodelconnector starts it by itself)')
    .option('--socket <path>', 'the Unix socket that it listens on (default: one of its own)', (path) =>
      resolve(path),
    )
    .action(async ({ socket }: { socket?: string }) => {
      const { serveConnector } = await import('./connector.ts');
      await serveConnector(socket ?? null);
    });
}
