import { setTimeout as delay } from 'node:timers/promises';
import {
  type ConnectorConfig,
  defaultConnectorConfig,
  readConnectorConfig,
} from '../config/connector-config.ts';
import { cloudVariables } from '../config/environment.ts';
import { type FileUri, isImageUri, publicUri, readModelUri } from '../config/model-uri.ts';
import { type PreloadSettings, readPreloadSettings } from '../config/preload-settings.ts';
import { codeOf, messageOf, ServeError } from '../lib/errors.ts';
import { readIfThere } from '../lib/files.ts';
import type { Log } from '../lib/log.ts';
import { type ConnectorLogs, openConnectorLogs } from '../models/connector-log.ts';
import { joinLoader } from '../models/preload/join-loader.ts';
import { ModelDirectory } from '../models/preload/model-directory.ts';
import { ModelLoader } from '../models/preload/model-loader.ts';
import { ServedPrograms } from '../models/preload/served-programs.ts';
import { AuditedSource } from '../models/sources/audited-source.ts';
import { Exchange } from '../models/sources/exchange.ts';
import { openSource } from '../models/sources/open-source.ts';

/**
 * The loader of a program that was started with the preload library and ENABLE_CONNECTOR=1 (native/loader.c starts it and
 * waits for its first lines): lists the model, puts placeholders into MODEL_DIR, says READY, and fills them while the program
 * runs. Ends when all files are whole, or with the program and all that it has started.
 */
const JOIN_TIMEOUT_MS = 120_000;
const JOIN_RETRY_MS = 100;
/** As many as the connections there are to a host. */
const MOST_CONNECTIONS = 32;

interface Session {
  readonly settings: PreloadSettings;
  readonly uri: FileUri;
  readonly connections: number;
  readonly expireMs: number;
  readonly logs: ConnectorLogs;
  readonly programs: ServedPrograms;
}

async function main(): Promise<void> {
  const session = await begin();
  const { settings, logs, programs } = session;
  const ending = new AbortController();
  process.once('SIGTERM', () => ending.abort());
  const exchange = new Exchange(cloudVariables());
  try {
    const loader = await openOrJoin(session, exchange);
    if (loader === null) return;
    report(`READY ${loader.socketPath}\t${loader.folder}`);
    const isServed = (variables: ReadonlySet<string>): boolean =>
      belongs(variables, settings, loader.socketPath);
    await Promise.race([loader.whenDone(), programs.whenGone(isServed, ending.signal)]);
    ending.abort();
    await loader.stop();
    logs.log.info({ modelDir: settings.modelDir }, 'loader ends');
  } catch (error) {
    logs.log.error({ error: messageOf(error) }, 'the model cannot be loaded');
    throw error;
  } finally {
    await exchange.close();
  }
}

async function begin(): Promise<Session> {
  const settings = readPreloadSettings();
  const reading = readModelUri(settings.uri);
  if (!reading.ok) throw wrongPath(reading.hint);
  const { uri } = reading;
  if (isImageUri(uri))
    throw wrongPath(`${publicUri(uri.text)} is an image, whose files have no size before they have come`);
  if (uri.isArchive)
    throw wrongPath(`${publicUri(uri.text)} is an archive, whose files have no size before they have come`);
  const { config, warnings } = await configOf(settings.configPath);
  const logs = openConnectorLogs(config);
  // Without a file, logs that cannot be written where they are by default are nobody's mistake.
  for (const warning of warnings === null ? [] : [...warnings, ...logs.warnings]) report(`WARN ${warning}`);
  const programs = new ServedPrograms();
  programs.add(settings.servedPid);
  process.on('uncaughtExceptionMonitor', (error) => tellCrash(logs.log, error));
  const connections = Math.min(config.prefetch.vcpus * config.prefetch.workers, MOST_CONNECTIONS);
  const expireMs = config.expireTimeSec * 1000;
  return { settings, uri, connections, expireMs, logs, programs };
}

/** @returns warnings null: there is no file */
async function configOf(path: string): Promise<{
  readonly config: ConnectorConfig;
  readonly warnings: readonly string[] | null;
}> {
  const text = await readIfThere(path);
  return text === null
    ? { config: defaultConnectorConfig(), warnings: null }
    : readConnectorConfig(text, path);
}

/**
 * Whether a process was started by a served program: it has the variables that each gets, or, forked off a program without
 * running another, the program's own. A loader has these, too, and one more.
 */
function belongs(variables: ReadonlySet<string>, { uri }: PreloadSettings, socketPath: string): boolean {
  if (variables.has(`MODELSERVE_PRELOAD_SOCKET=${socketPath}`)) return true;
  const isLoader = [...variables].some((one) => one.startsWith('MODELSERVE_PRELOAD_SERVES='));
  return !isLoader && variables.has(`OSS_PATH=${uri}`) && variables.has('ENABLE_CONNECTOR=1');
}

/** @returns null: a loader that is there already serves the program, too */
async function openOrJoin(
  { settings, uri, connections, expireMs, logs, programs }: Session,
  exchange: Exchange,
): Promise<ModelLoader | null> {
  const plain = await openSource(uri, cloudVariables(), exchange);
  const place = publicUri(uri.text).slice(0, publicUri(uri.text).length - uri.key.length);
  const source = new AuditedSource(plain, place, logs.audit);
  const { modelDir, servedPid } = settings;
  const onJoin = (pid: number): void => {
    programs.add(pid);
    logs.log.info({ pid }, 'a program joins');
  };
  const deadline = performance.now() + JOIN_TIMEOUT_MS;
  for (;;) {
    try {
      return await ModelLoader.open({ uri, modelDir, connections, expireMs, log: logs.log, onJoin }, source);
    } catch (error) {
      if (codeOf(error) !== 'LOCK_HELD' || performance.now() > deadline) throw error;
    }
    const socketPath = await ModelDirectory.socketOf(modelDir, publicUri(uri.text));
    if (socketPath !== null && (await joinLoader(socketPath, servedPid))) {
      report(`READY ${socketPath}\t${modelDir}`);
      return null;
    }
    await delay(JOIN_RETRY_MS); // it is about to begin, or to end
  }
}

function wrongPath(what: string): ServeError {
  return new ServeError(`OSS_PATH: ${what}`, { code: 'PRELOAD_SETTINGS' });
}

function tellCrash(log: Log, error: Error): void {
  log.error({ error: error.stack ?? error.message }, 'the loader fails');
}

/** The program may have gone. */
function report(line: string): void {
  process.stdout.write(`${line}\n`);
}

process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
main().then(
  () => process.exit(0),
  (error: unknown) => {
    report(`FAIL ${messageOf(error).replace(/\s+/g, ' ')}`);
    process.exit(1);
  },
);
