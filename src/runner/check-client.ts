import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type ControlChannel, connectControl } from '../channel/agent-client.ts';
import type { LaunchFile } from '../channel/launch.ts';
import type { LoadTimes, ReplicaState } from '../channel/messages.ts';
import { codeOf, messageOf } from '../lib/errors.ts';
import type { JsonValue } from '../lib/json.ts';
import { type DetachedProcess, spawnDetached } from '../lib/process/detached.ts';
import { type ProcessMemory, readProcessMemory } from '../lib/process/memory.ts';
import { killSession } from '../lib/process/signals.ts';
import { callOnce } from './check-call.ts';
import { OutputReader } from './output-reader.ts';
import { within } from './within.ts';

export interface CheckOptions {
  /** starts the runner; the launch file is added as the last argument */
  readonly command: string;
  readonly args: readonly string[];
  /** the whole environment */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** socket and log are the check's own */
  readonly launch: Omit<LaunchFile, 'socket' | 'log' | 'log_max_bytes' | 'log_files' | 'orphan_timeout_s'>;
  /** param: the JSON body; null: none */
  readonly request: { readonly method: string; readonly param: JsonValue | null };
  /** for the start and the call together */
  readonly timeoutMs: number;
  /** each line that the runner and the backend print, as it comes */
  readonly onOutput: (line: string) => void;
  /** ends the check early */
  readonly signal?: AbortSignal;
}

export interface CheckCost {
  readonly load: LoadTimes;
  /** from sending the request to the end of the answer */
  readonly callMs: number;
  /** of the process, after the call */
  readonly memory: ProcessMemory;
}

export interface CheckResult {
  /** the backend answered, and its answer does not say that it failed */
  readonly ok: boolean;
  /** of the answer; null: there was none, `message` says why */
  readonly status: number | null;
  readonly contentType: string;
  readonly body: Buffer;
  /** one line; '' where there was an answer */
  readonly message: string;
  /** of a start that failed, may be empty */
  readonly traceback: string;
  /** what it cost; null where there was no answer */
  readonly cost: CheckCost | null;
  /** everything that was printed */
  readonly output: string;
}

/** What is left of a check whose program is killed itself: its runner misses the connection and ends. */
const ORPHAN_TIMEOUT_S = 5;
/** Ends on its own within this, or is killed. */
const END_MS = 7_000;
const CUT_SHORT_MS = 500;
const DRAIN_GRACE_MS = 1_000;
const CONNECT_INTERVAL_MS = 20;
const CONNECT_MS = 5_000;
const EXIT_NEWS_MS = 200;

/**
 * Starts a runner as an agent would, without a cluster, sends it one request and ends it with all that it has started. Does not throw for
 * a backend that fails in whatever way.
 * @throws ServeError SPAWN_FAILED when the command cannot be started
 */
export async function runOnce(options: CheckOptions): Promise<CheckResult> {
  const folder = await mkdtemp(join(tmpdir(), 'modelserve-check-'));
  try {
    const launch: LaunchFile = {
      ...options.launch,
      socket: join(folder, 'r.sock'),
      log: join(folder, 'log'),
      log_max_bytes: Number.MAX_SAFE_INTEGER, // not rotated: it is read while it is written
      log_files: 1,
      orphan_timeout_s: ORPHAN_TIMEOUT_S,
    };
    const launchFile = join(folder, 'launch.json');
    await writeFile(launchFile, JSON.stringify(launch), { mode: 0o600 });
    const { command, args, cwd, env } = options;
    const logFile = join(folder, 'log');
    const runner = await spawnDetached({ command, args: [...args, launchFile], cwd, env, logFile });
    const output = new OutputReader(logFile, options.onOutput);
    try {
      const outcome = await tryOnce(runner, launch, options);
      output.finish();
      return { ...outcome, output: output.text };
    } finally {
      output.finish();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

type Outcome = Omit<CheckResult, 'output'>;

async function tryOnce(runner: DetachedProcess, launch: LaunchFile, options: CheckOptions): Promise<Outcome> {
  const over = new AbortController();
  const stop = (reason: string): void => over.abort(new Error(reason));
  const timer = setTimeout(() => stop(`no answer within ${options.timeoutMs} ms`), options.timeoutMs);
  const onAbort = (): void => stop('the check was ended');
  options.signal?.addEventListener('abort', onAbort, { once: true });
  if (options.signal?.aborted === true) onAbort();
  // The channel tells of a failed start in full just before the process ends: it has the first word.
  void runner.exited.then(async ({ code, signal }) => {
    await delay(EXIT_NEWS_MS);
    stop(`the runner ended (${signal ?? `code ${code}`}) before there was an answer`);
  });
  try {
    return await startAndCall(launch, { ...options, pid: runner.identity.pid }, over.signal);
  } catch (error) {
    return failed(messageOf(over.signal.aborted ? over.signal.reason : error), '');
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', onAbort);
    await within(over.signal.aborted ? CUT_SHORT_MS : END_MS, runner.exited);
    await killSession(runner.identity.pid);
  }
}

async function startAndCall(
  launch: LaunchFile,
  options: CheckOptions & { readonly pid: number },
  signal: AbortSignal,
): Promise<Outcome> {
  const { control, loaded } = await connect(launch, signal);
  try {
    const state = await abortable(loaded, signal);
    if (state.error !== null) return failed(state.error.message, state.error.traceback);
    const answer = await abortable(callOnce(launch, options.request, options.timeoutMs), signal);
    const memory = readProcessMemory(options.pid);
    const cost = state.load && memory ? { load: state.load, callMs: answer.tookMs, memory } : null;
    return { ...answer, traceback: '', cost };
  } finally {
    await control.control({ op: 'drain', grace_ms: DRAIN_GRACE_MS }, DRAIN_GRACE_MS).catch(noop);
    control.close();
  }
}

interface Connected {
  readonly control: ControlChannel;
  /** the first state that is not `starting` */
  readonly loaded: Promise<ReplicaState>;
}

/** Retries until the runner listens, which it does before it loads the backend. */
async function connect(launch: LaunchFile, signal: AbortSignal): Promise<Connected> {
  for (;;) {
    signal.throwIfAborted();
    let tell: (state: ReplicaState) => void = noop;
    const loaded = new Promise<ReplicaState>((resolve) => {
      tell = (state) => {
        if (state.phase !== 'starting') resolve(state);
      };
    });
    try {
      const control = await connectControl({
        socketPath: launch.socket,
        nodeId: 'check',
        timeoutMs: CONNECT_MS,
        onNotify: (notification) => {
          if (notification.event === 'state') tell(notification.state);
        },
        onClose: noop,
      });
      tell(control.hello.state);
      return { control, loaded };
    } catch (error) {
      if (codeOf(error) !== 'CHANNEL_CONNECT') throw error;
      await delay(CONNECT_INTERVAL_MS);
    }
  }
}

/** What a promise resolves to, unless the signal comes first: then its reason is thrown. */
function abortable<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

function failed(message: string, traceback: string): Outcome {
  return { ok: false, status: null, contentType: '', body: Buffer.alloc(0), message, traceback, cost: null };
}

function noop(): void {
  // nothing to do
}
