import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { restartDelayMs } from '../../cluster/replicas/restart-delay.ts';
import type { IngressLaunch } from '../../config/ingress-launch.ts';
import { componentLog, ingressSocket, type StatePaths } from '../../config/paths.ts';
import type { NodeSecrets } from '../../config/token.ts';
import { messageOf, ServeError } from '../../lib/errors.ts';
import { readIfThere, writeDurably } from '../../lib/files.ts';
import type { Log } from '../../lib/log.ts';
import { spawnDetached } from '../../lib/process/detached.ts';
import { describeExit, type Exit, fileSizeBytes, lastOutput } from '../../lib/process/exit.ts';
import { identityOf, isRunning, type ProcessIdentity } from '../../lib/process/identity.ts';
import { killSession, waitForExit, waitForSession } from '../../lib/process/signals.ts';
import { watchExit } from '../../lib/process/watch-exit.ts';
import { callIngress, type IngressState, readIngressState } from './ingress-client.ts';

const START_TIMEOUT_MS = 20_000;
/** It proves itself anew to all other nodes meanwhile. */
const SECRETS_MS = 8_000;
/** Of what ingresses printed, when another one begins. */
const MOST_OUTPUT_BYTES = 1024 * 1024;
/** An ingress that lived so long did not fail to start. */
const SETTLED_AFTER_MS = 5_000;
/**
 * For requests in flight when an ingress of another version, or one started in another way, is replaced, and for those
 * at the further processes of one that has died.
 */
const HANDOVER_MS = 10_000;
/**
 * How much its heap, buffers included, may hold before V8 looks through all of it. V8 sets that to about twice what is alive,
 * 25 MB here, which buffers of large bodies reach before the cheaper collection frees them (at 32 MB): one full
 * collection for each 10 MB, half of the CPU time they took.
 */
const HEAP_FLAGS = ['--initial-old-space-size=128'];

export interface IngressOptions {
  readonly launch: IngressLaunch;
  /** program file of the ingress, run by `nodePath` with the launch file as its argument */
  readonly entry: string;
  readonly nodePath: string;
  readonly env: Readonly<Record<string, string>>;
  readonly paths: Pick<StatePaths, 'root' | 'logs' | 'processes' | 'sockets' | 'stage'>;
}

export interface IngressDependencies {
  readonly log: Log;
  /** it runs at another address than before */
  readonly onMoved: (state: IngressState) => void;
  /** it gave up a request because replicas died with it */
  readonly onCasualty: () => void;
}

interface RunningIngress {
  readonly identity: ProcessIdentity;
  readonly exited: Promise<Exit>;
  readonly release: () => void;
}

/** The ingress of this node: adopted where one runs, started where none does, started again at once when it dies. */
export class IngressProcess {
  readonly #options: IngressOptions;
  readonly #dependencies: IngressDependencies;
  readonly #socketPath: string;
  readonly #leaving = new AbortController();
  #secrets: NodeSecrets;
  #state: IngressState | null = null;
  #running: RunningIngress | null = null;
  #failures = 0;
  /** sessions of dead ingresses, whose further processes finish what they have */
  readonly #remains = new Set<number>();

  constructor(options: IngressOptions, dependencies: IngressDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#secrets = options.launch.secrets;
    this.#socketPath = ingressSocket(options.paths.sockets);
  }

  /** as it answered last; null before it ever did */
  get state(): IngressState | null {
    return this.#state;
  }

  /**
   * Adopts or starts it; afterwards it is kept running until `leave` or `stop`.
   * @throws ServeError INGRESS_FAILED with what it said, when it does not come up now
   */
  async start(): Promise<IngressState> {
    const running = (await this.#adopt()) ?? (await this.#spawn());
    void this.#keep(running);
    return this.#state ?? this.#failed('it does not answer');
  }

  /** Asks it where it listens now: its port follows the routing table. */
  async refresh(): Promise<void> {
    const state = await readIngressState(this.#socketPath);
    if (state !== null) this.#learn(state);
  }

  /**
   * Gives it other secrets, and those that are started later. Resolves when it uses them, or none runs.
   * @throws ServeError INGRESS_UNREACHABLE
   */
  async useSecrets(secrets: NodeSecrets): Promise<void> {
    this.#secrets = secrets;
    if (this.#running === null || this.#state === null) return;
    await this.#writeLaunch(this.#state.linkPort);
    await this.#tellSecrets();
  }

  /** Takes no new requests, finishes those in flight, at most so long. It is not started again from here on. */
  async drain(graceMs: number): Promise<void> {
    this.#leaving.abort();
    try {
      const timeoutMs = graceMs + 2_000;
      await this.#call('/drain', { graceMs }, timeoutMs);
    } catch (error) {
      this.#dependencies.log.warn({ error: messageOf(error) }, 'the ingress did not drain');
    }
  }

  /** Ends it and waits until it is gone. Idempotent. */
  async stop(): Promise<void> {
    this.#leaving.abort();
    const running = this.#running;
    this.#running = null;
    await Promise.all([...this.#remains].map((sessionId) => killSession(sessionId)));
    if (running === null) return;
    await this.#end(running.identity);
    running.release();
    for (const path of [this.#recordFile, this.#launchFile, this.#socketPath])
      await rm(path, { force: true });
  }

  /** Stops watching; the ingress goes on for the next agent. */
  leave(): void {
    this.#leaving.abort();
    this.#running?.release();
    this.#running = null;
  }

  async #keep(first: RunningIngress): Promise<void> {
    const { signal } = this.#leaving;
    let running: RunningIngress | null = first;
    while (!signal.aborted) {
      const startedAt = performance.now();
      if (running !== null) {
        const exit = await running.exited;
        if (signal.aborted) return;
        this.#dependencies.log.error({ exit: describeExit(exit) }, 'the ingress ended; it is started again');
        void this.#clear(running.identity.pid);
      }
      this.#failures = performance.now() - startedAt < SETTLED_AFTER_MS ? this.#failures + 1 : 0;
      const delayMs = restartDelayMs(this.#failures - 1);
      await delay(delayMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      running = await this.#spawn().catch((error: unknown) => {
        this.#dependencies.log.error({ error: messageOf(error) }, 'the ingress does not start');
        return null;
      });
    }
  }

  /** Ends what is left of a dead ingress, after some time. The next one needs nothing that those hold. */
  async #clear(sessionId: number): Promise<void> {
    this.#remains.add(sessionId);
    await waitForSession(sessionId, HANDOVER_MS);
    await killSession(sessionId);
    this.#remains.delete(sessionId);
  }

  /** @returns null where none runs that this agent can go on with; what was there is gone then */
  async #adopt(): Promise<RunningIngress | null> {
    const state = await readIngressState(this.#socketPath);
    const recorded = await this.#readRecord();
    const identity = state === null ? recorded : (identityOf(state.pid) ?? recorded);
    if (identity === null || !isRunning(identity)) return null;
    const { nodeId } = this.#options.launch;
    if (
      state?.nodeId === nodeId &&
      !state.draining &&
      (await this.#isAsWanted()) &&
      (await this.#follows())
    ) {
      const { exited, stop } = watchExit(identity);
      this.#running = { identity, exited: exited.then(() => null), release: stop };
      this.#learn(state);
      this.#dependencies.log.info({ pid: identity.pid }, 'ingress adopted');
      return this.#running;
    }
    // It was started in another way, or does not answer although this node's record says that it is the one.
    if (state?.nodeId === nodeId) {
      await this.#call('/drain', { graceMs: HANDOVER_MS }, HANDOVER_MS + 2_000).catch(() => undefined);
      await this.#end(identity);
    } else await killSession(identity.pid);
    return null;
  }

  /** Whether the one that runs is of this version, and listens and asks the store where this node is told to. */
  async #isAsWanted(): Promise<boolean> {
    const text = await readIfThere(this.#launchFile).catch(() => null);
    if (text === null) return false;
    return isSameLaunch(JSON.parse(text) as IngressLaunch, this.#options.launch);
  }

  /** Lets it close what is left and go; kills it if it does not. */
  async #end(identity: ProcessIdentity): Promise<void> {
    await this.#call('/stop', {}, 2_000).catch(() => undefined);
    await waitForExit(identity, 3_000);
    await killSession(identity.pid);
  }

  async #spawn(): Promise<RunningIngress> {
    const { entry, nodePath, env, paths, launch } = this.#options;
    const logFile = this.#outputFile;
    if (fileSizeBytes(logFile) > MOST_OUTPUT_BYTES) await rm(logFile, { force: true });
    const fromBytes = fileSizeBytes(logFile);
    await mkdir(paths.sockets, { recursive: true, mode: 0o700 });
    await rm(this.#socketPath, { force: true });
    // Peers know the link port by the routing table: the next ingress takes the same unless that has just failed.
    const linkPort = this.#failures > 1 ? launch.linkPort : (this.#state?.linkPort ?? launch.linkPort);
    await this.#writeLaunch(linkPort);
    const spawned = await spawnDetached({
      command: nodePath,
      args: [...HEAP_FLAGS, entry, this.#launchFile],
      cwd: paths.root,
      env,
      logFile,
    });
    const running = { ...spawned, release: () => undefined };
    this.#running = running;
    await writeDurably(this.#recordFile, JSON.stringify(running.identity));
    const exit = await this.#awaitAnswer(running);
    if (exit === 'answers') return running;
    await killSession(running.identity.pid);
    return this.#failed(startupError(lastOutput(logFile, fromBytes)) ?? exit);
  }

  async #writeLaunch(linkPort: number): Promise<void> {
    const launch = { ...this.#options.launch, linkPort, secrets: this.#secrets };
    await writeDurably(this.#launchFile, JSON.stringify(launch));
  }

  /** Whether it takes this node's secrets, which may have been replaced while there was no agent. */
  async #follows(): Promise<boolean> {
    return await this.#tellSecrets().then(
      () => true,
      () => false,
    );
  }

  async #tellSecrets(): Promise<void> {
    await this.#call('/secrets', this.#secrets, SECRETS_MS);
  }

  /** Polls its socket, the only sign of life there is before it listens. */
  async #awaitAnswer(running: RunningIngress): Promise<string> {
    let exit: Exit | undefined;
    void running.exited.then((how) => {
      exit = how;
    });
    const end = performance.now() + START_TIMEOUT_MS;
    while (performance.now() < end && !this.#leaving.signal.aborted) {
      const state = await readIngressState(this.#socketPath);
      if (state?.pid === running.identity.pid && state.started) {
        this.#learn(state);
        return 'answers';
      }
      if (exit !== undefined) return describeExit(exit);
      await delay(25);
    }
    return `it did not answer within ${START_TIMEOUT_MS / 1000} s`;
  }

  #learn(state: IngressState): void {
    const before = this.#state;
    this.#state = state;
    const newest = state.poison?.at(-1)?.atMs;
    if (newest !== undefined && newest !== before?.poison?.at(-1)?.atMs) this.#dependencies.onCasualty();
    if (before === null) return;
    const { host, httpPort, linkPort } = state;
    if (before.host === host && before.httpPort === httpPort && before.linkPort === linkPort) return;
    this.#dependencies.onMoved(state);
  }

  #call(path: '/drain' | '/secrets' | '/stop', body: object, timeoutMs: number): Promise<unknown> {
    return callIngress({ socketPath: this.#socketPath, method: 'POST', path, body, timeoutMs });
  }

  async #readRecord(): Promise<ProcessIdentity | null> {
    const text = await readIfThere(this.#recordFile);
    return text === null ? null : (JSON.parse(text) as ProcessIdentity);
  }

  #failed(why: string): never {
    const log = componentLog(this.#options.paths, 'ingress');
    throw new ServeError(`the ingress does not start: ${why} (its log: ${log})`, { code: 'INGRESS_FAILED' });
  }

  /** What it prints, which is nothing unless it fails: its log is a file that rotates, and this one does not. */
  get #outputFile(): string {
    return join(this.#options.paths.logs, 'ingress.out');
  }

  get #launchFile(): string {
    return join(this.#options.paths.stage, 'ingress-launch.json');
  }

  get #recordFile(): string {
    return join(this.#options.paths.processes, 'ingress.json');
  }
}

/** Ports that it found or was told by a routing table since do not count, nor do secrets: it is told them. */
function isSameLaunch(one: IngressLaunch, other: IngressLaunch): boolean {
  const keyOf = ({ linkPort: _, secrets: __, httpPort, ...rest }: IngressLaunch): string =>
    JSON.stringify({ ...rest, httpPort: rest.httpPortFixed ? httpPort : null });
  return keyOf(one) === keyOf(other);
}

/** What an ingress says as its last line when it cannot start: `{"error": {"code", "message"}}`. */
function startupError(output: string): string | null {
  const lines = output.split('\n').reverse();
  for (const line of lines) {
    try {
      const value: unknown = JSON.parse(line);
      if (typeof value === 'object' && value !== null && 'error' in value) return messageIn(value.error);
    } catch {
      // a line of another kind
    }
  }
  return null;
}

function messageIn(error: unknown): string {
  return typeof error === 'object' && error !== null && 'message' in error
    ? String(error.message)
    : String(error);
}
