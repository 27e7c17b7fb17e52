import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance } from 'fastify';
import type { IngressLaunch } from '../config/ingress-launch.ts';
import { componentLog, ingressSocket, statePaths } from '../config/paths.ts';
import type { NodeSecrets } from '../config/token.ts';
import { openControl } from '../ingress/control.ts';
import { DEFAULT_LIMITS, Ingress } from '../ingress/ingress.ts';
import { codeOf, messageOf } from '../lib/errors.ts';
import { LiveSecrets } from '../lib/live-secrets.ts';
import type { Log } from '../lib/log.ts';
import { forkProcess } from '../lib/process/fork.ts';
import { NodeTls } from '../lib/tls/node-tls.ts';
import { clusterPrefix } from '../store/keys.ts';
import { connectStore } from '../store/redis-store.ts';
import type { Store } from '../store/types.ts';
import { openLog } from '../telemetry/logger.ts';

/**
 * The ingress process: `ingress-main.js LAUNCH.json`. Runs until it is told to stop on its control socket, or until
 * SIGTERM, on which it drains first. What stops it from starting is the last line of its output, as JSON, with exit
 * code 1.
 */
const DRAIN_MS = 30_000;
const STORE_RETRY_MS = 2_000;
/** A store that is away is not waited for at the end: nothing is written to it then. */
const STORE_CLOSE_MS = 500;
/** A program of its own: what only the main process needs (the store) would cost every helper 10 MB. */
const HELPER_PROGRAM = fileURLToPath(new URL('./ingress-helper-main.js', import.meta.url));

async function main(): Promise<void> {
  const launch = JSON.parse(await readFile(process.argv[2] ?? '', 'utf8')) as IngressLaunch;
  const paths = statePaths(launch.stateDir);
  const logFile = componentLog(paths, 'ingress');
  const log = openLog(logFile, 'ingress');
  const tls = await NodeTls.resume(launch.tls);
  tls.start(log);
  const { storePasswords, ...secrets } = launch.secrets;
  const passwords = new LiveSecrets(...storePasswords);
  const ingress = new Ingress(
    { ...launch, secrets, paths, limits: DEFAULT_LIMITS },
    { log, tls, forkHelper: () => forkProcess(HELPER_PROGRAM, [logFile]) },
  );
  const ending = new AbortController();
  const controlled = {
    report: () => ingress.report(),
    measure: () => ingress.measure(),
    drain: (graceMs: number) => ingress.drain(graceMs),
    useSecrets: async ({ storePasswords: all, ...others }: NodeSecrets) => {
      passwords.use(all); // for the next connection to the store
      await ingress.useSecrets(others);
    },
  };
  const control = await openControl(ingressSocket(paths.sockets), controlled, () => ending.abort());
  try {
    await ingress.start();
  } catch (error) {
    await control.close();
    await ingress.stop();
    throw error;
  }
  const store = followStore(launch, { ingress, tls, passwords, log, signal: ending.signal });
  log.info({ httpPort: ingress.state.httpPort, linkPort: ingress.state.linkPort }, 'ingress started');
  const onSignal = () => {
    log.info({ graceMs: DRAIN_MS }, 'draining');
    void ingress.drain(DRAIN_MS).then(() => ending.abort());
  };
  process.once('SIGTERM', onSignal);
  process.on('SIGINT', () => {}); // Ctrl-C is for the node process, which drains this one in its turn
  if (!ending.signal.aborted) {
    await new Promise<void>((resolve) => ending.signal.addEventListener('abort', () => resolve()));
  }
  await end({ ingress, control, store });
  log.info({}, 'ingress ended');
}

/** Connects, tries again for as long as the store refuses, and follows it. */
async function followStore(
  { store: target, clusterId }: IngressLaunch,
  context: {
    readonly ingress: Ingress;
    readonly tls: NodeTls;
    readonly passwords: LiveSecrets;
    readonly log: Log;
    readonly signal: AbortSignal;
  },
): Promise<Store | null> {
  const { ingress, passwords, log, signal } = context;
  if (target === null) return null;
  const { url, isOwn } = target;
  let problem = '';
  while (!signal.aborted) {
    let store: Store | null = null;
    try {
      store = await connectStore({
        ...{ url, mayBeLost: true, prefix: clusterPrefix(clusterId) },
        ...(isOwn ? { password: () => passwords.current } : {}),
        tls: target.tls ? context.tls.nodes : null,
      });
      await ingress.follow(store);
      return store;
    } catch (error) {
      if (messageOf(error) !== problem) log.warn({ problem: messageOf(error) }, 'store refuses');
      problem = messageOf(error);
      await store?.close();
      await delay(STORE_RETRY_MS, undefined, { signal }).catch(() => {}); // told to stop meanwhile
    }
  }
  return null;
}

async function end(parts: {
  readonly ingress: Ingress;
  readonly control: FastifyInstance;
  readonly store: Promise<Store | null>;
}): Promise<void> {
  await parts.control.close();
  await parts.ingress.stop();
  await Promise.race([parts.store.then((store) => store?.close()), delay(STORE_CLOSE_MS)]);
}

try {
  await main();
  process.exit(0);
} catch (error) {
  process.stdout.write(`${JSON.stringify({ error: { code: codeOf(error), message: messageOf(error) } })}\n`);
  process.exit(1);
}
