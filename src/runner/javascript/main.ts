import { writeSync } from 'node:fs';
import type { LaunchFile } from '../../channel/launch.ts';
import { messageOf } from '../../lib/errors.ts';
import { checkImport } from './check-import.ts';
import { readLaunch } from './launch.ts';
import { LogFile } from './log-file.ts';
import { note } from './note.ts';
import { Replica } from './replica.ts';
import { OWN_DRAIN_GRACE_MS, ReplicaServer } from './server.ts';

/**
 * Entry of the JavaScript runner: `main.js LAUNCH.json` is a replica, `main.js --check-import LAUNCH.json` imports the backend and says how
 * that went.
 */
const FAILED_LINGER_MS = 1_000;

const [first, second] = process.argv.slice(2);
process.exit(
  first === '--check-import' && second !== undefined ? await printImportCheck(second) : await main(first),
);

async function main(launchPath: string | undefined): Promise<number> {
  if (launchPath === undefined) {
    note('usage: main.js [--check-import] LAUNCH.json');
    return 2;
  }
  try {
    return await serve(readLaunch(launchPath));
  } catch (error) {
    note(messageOf(error));
    return 1;
  }
}

/** Lives until the replica is over. @returns its exit code */
async function serve(launch: LaunchFile): Promise<number> {
  const log = openLog(launch);
  const replica = new Replica(launch, log?.own ?? null);
  const server = new ReplicaServer(replica);
  const terminate = (): void => {
    if (replica.state.phase === 'draining') process.exit(1); // asked twice: at once
    replica.drain(OWN_DRAIN_GRACE_MS);
  };
  process.on('SIGTERM', terminate);
  process.on('SIGINT', terminate);
  try {
    await server.listen();
    void replica.start(); // what goes wrong in there ends the replica
    const exitCode = await replica.ended;
    // A replica that fails at once is faster than its agent's first connection, which is to hear why.
    if (exitCode !== 0) await server.hadAgentWithin(FAILED_LINGER_MS);
    return exitCode;
  } finally {
    await server.close();
    log?.stop();
  }
}

/** Without a log file the output stays where it leads. */
function openLog(launch: LaunchFile): LogFile | null {
  if (launch.log === null) return null;
  const log = new LogFile({
    path: launch.log,
    maxBytes: launch.log_max_bytes,
    files: launch.log_files,
    hasOutput: launch.log_output !== false,
  });
  log.open();
  log.start();
  return log;
}

async function printImportCheck(launchPath: string): Promise<number> {
  // What the backend prints while it is imported must not stand before the one line of the answer.
  process.stdout.write = process.stderr.write.bind(process.stderr);
  const result = await checkImport(readLaunch(launchPath));
  writeSync(1, `${JSON.stringify(result)}\n`);
  return result.ok ? 0 : 1;
}
