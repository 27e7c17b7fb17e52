import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type ControlChannel, connectControl } from '../../../src/channel/agent-client.ts';
import { ReplicaChannel } from '../../../src/channel/client.ts';
import type { LaunchFile } from '../../../src/channel/launch.ts';
import {
  encodeHead,
  type Notification,
  type ReplicaState,
  type RequestHead,
  type ResponseHead,
  type WorkReport,
} from '../../../src/channel/messages.ts';
import type { ClientStream } from '../../../src/channel/streams.ts';
import { type DetachedProcess, spawnDetached } from '../../../src/lib/process/detached.ts';
import { killSession } from '../../../src/lib/process/signals.ts';

export interface Answer {
  readonly kind: 'answered' | 'refused' | 'failed' | 'lost';
  readonly head: ResponseHead | null;
  readonly body: Buffer;
  /** refusal reason or failure code */
  readonly reason: string;
}

export interface SendOptions {
  readonly head?: Partial<RequestHead>;
  readonly body?: string | Uint8Array;
  /** called with each part of the answer; returns the bytes to grant, all of them by default */
  readonly onData?: (chunk: Buffer) => number;
}

export interface SentRequest {
  readonly stream: ClientStream;
  readonly answer: Promise<Answer>;
}

/** The test reads the log. */
export type TestLaunch = LaunchFile & { readonly log: string };

/** A replica of a package written by the test, as its agent and one ingress see it. */
export interface TestReplica {
  readonly launch: TestLaunch;
  readonly process: DetachedProcess;
  readonly control: ControlChannel;
  readonly channel: ReplicaChannel;
  readonly states: readonly ReplicaState[];
  readonly beats: () => number;
  /** what it said last of its calls */
  readonly work: () => WorkReport | null;
  readonly send: (options?: SendOptions) => SentRequest;
  /** sends, and parses the answer as JSON */
  readonly json: (body: unknown) => Promise<unknown>;
  readonly log: () => Promise<string>;
  readonly stop: () => Promise<void>;
}

export interface ReplicaOptions {
  readonly main: string;
  /** files of the package by name */
  readonly files: Readonly<Record<string, string>>;
  readonly launch?: Partial<TestLaunch>;
}

/** Polls until the condition holds. @throws after `timeoutMs` */
export async function eventually(what: string, holds: () => unknown, timeoutMs = 10_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await delay(10);
  }
}

/** Writes the package, starts the runner and waits until the replica is ready or has failed. */
export async function startReplica(options: ReplicaOptions): Promise<TestReplica> {
  const folder = await mkdtemp(join(tmpdir(), 'ms-js-'));
  const launch = launchFor(folder, options.launch);
  await writePackage(join(folder, 'code'), options.files);
  const launchFile = join(folder, 'launch.json');
  await writeFile(launchFile, JSON.stringify(launch));
  const running = await spawnDetached({
    command: process.execPath,
    args: [options.main, launchFile],
    cwd: folder,
    env: { PATH: process.env['PATH'] ?? '' },
    logFile: launch.log,
  });
  const states: ReplicaState[] = [];
  let beats = 0;
  let work: WorkReport | null = null;
  const onNotify = (notification: Notification): void => {
    if (notification.event === 'state') states.push(notification.state);
    if (notification.event === 'beat') beats += 1;
    if (notification.event === 'work') work = notification;
  };
  const stop = async (): Promise<void> => {
    await killSession(running.identity.pid);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const control = await connectAsAgent(launch, onNotify);
    states.unshift(control.hello.state);
    await eventually('ready or failed', () => states.at(-1)?.phase !== 'starting');
    const channel = connectAsIngress(launch);
    if (states.at(-1)?.phase === 'ready')
      await eventually('the ingress sees it ready', () => channel.isReady);
    const send = (request: SendOptions = {}): SentRequest => sendRequest(channel, launch, request);
    const log = (): Promise<string> => readFile(launch.log, 'utf8');
    const json = async (body: unknown): Promise<unknown> => {
      const answer = await send({ body: JSON.stringify(body) }).answer;
      return JSON.parse(answer.body.toString());
    };
    return {
      launch,
      process: running,
      control,
      channel,
      states,
      beats: () => beats,
      work: () => work,
      send,
      json,
      log,
      stop,
    };
  } catch (error) {
    const log = await readFile(launch.log, 'utf8').catch(() => '');
    await stop();
    throw new Error(`the replica did not start: ${String(error)}\n${log}`, { cause: error });
  }
}

export async function writePackage(codeDir: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(codeDir, 'algopkg', 'Echo', name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
}

export function launchFor(folder: string, changes: Partial<TestLaunch> = {}): TestLaunch {
  return {
    protocol: 1,
    replica: 'Echo-1',
    deployment: 'Echo',
    revision: 1,
    socket: join(folder, 'r.sock'),
    log: join(folder, 'replica.log'),
    log_max_bytes: 20_971_520,
    log_files: 5,
    code_dir: join(folder, 'code'),
    package: 'Echo',
    backend: 'EchoBackend',
    model_path: '',
    user_config: null,
    max_ongoing: 8,
    concurrency: 1,
    max_batch_size: 1,
    batch_wait_timeout_s: 0,
    orphan_timeout_s: 600,
    ...changes,
  };
}

/** The agent's connection, retried until the replica listens. */
export async function connectAsAgent(
  launch: LaunchFile,
  onNotify: (notification: Notification) => void,
): Promise<ControlChannel> {
  let control: ControlChannel | null = null;
  await eventually('the replica listens', async () => {
    const options = { socketPath: launch.socket, nodeId: 'n1', timeoutMs: 5_000, onNotify, onClose: noop };
    control = await connectControl(options).catch(() => null);
    return control !== null;
  });
  if (control === null) throw new Error('unreachable');
  return control;
}

export function connectAsIngress(launch: LaunchFile): ReplicaChannel {
  return new ReplicaChannel(
    { socketPath: launch.socket, replicaId: launch.replica, nodeId: 'n1', timeoutMs: 5_000 },
    { onState: noop, onBeat: noop, onClose: noop },
  );
}

let requestNumber = 0;

export function requestHead(launch: LaunchFile, changes: Partial<RequestHead> = {}): RequestHead {
  requestNumber += 1;
  return {
    id: `req-${requestNumber}`,
    replica: launch.replica,
    method: 'POST',
    path: '/echo',
    query: '',
    scheme: 'http',
    headers: [['host', 'node:8000']],
    client: ['10.0.0.7', 4242],
    timeout_ms: 30_000,
    expose_errors: false,
    ...changes,
  };
}

/** Sends the body as fast as the replica's window allows. */
function sendRequest(channel: ReplicaChannel, launch: LaunchFile, options: SendOptions): SentRequest {
  const body = Buffer.from(options.body ?? '');
  const chunks: Buffer[] = [];
  let head: ResponseHead | null = null;
  let sent = 0;
  const answered = withResolvers<Answer>();
  const settle = (kind: Answer['kind'], reason = ''): void => {
    answered.resolve({ kind, head, body: Buffer.concat(chunks), reason });
  };
  const pump = (): void => {
    while (sent < body.length && stream.sendableBytes > 0) {
      const part = body.subarray(sent, sent + stream.sendableBytes);
      sent += part.length;
      stream.write(part, sent === body.length);
    }
  };
  const stream = channel.open(encodeHead(requestHead(launch, options.head)), body.length === 0, {
    onResponse: (responseHead, end) => {
      head = responseHead;
      if (end) settle('answered');
    },
    onData: (chunk, end) => {
      chunks.push(Buffer.from(chunk));
      stream.grant(options.onData?.(chunk) ?? chunk.length);
      if (end) settle('answered');
    },
    onRefused: (refusal) => settle('refused', refusal.reason),
    onFailed: (failure) => settle('failed', failure.code),
    onLost: () => settle('lost'),
    onWindow: pump,
  });
  pump();
  return { stream, answer: answered.promise };
}

function withResolvers<Value>(): { promise: Promise<Value>; resolve: (value: Value) => void } {
  let resolve: (value: Value) => void = noop;
  const promise = new Promise<Value>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

function noop(): void {
  // nothing to do
}
