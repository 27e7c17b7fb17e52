import { openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { WASI } from 'node:wasi';
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../../lib/errors.ts';
import type { EmbeddedOptions, ToEmbedded, ToKeeper } from './embedded-messages.ts';
import { userRules } from './passwords.ts';
import { SocketBridge } from './socket-bridge.ts';

/**
 * Valkey in a thread of its own: the WebAssembly build runs one pass of its event loop whenever a socket has something
 * for it, and on a timer. It cannot fork, so its data is written by SAVE, which stops it for that long (10 to 45 ms at 7 MB).
 */
interface Sandbox {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly rk_boot: (port: number) => void;
  readonly rk_step: () => void;
}

/** The part of WebAssembly used here; the compiler's own types come with those of a browser only. */
interface WasmApi {
  readonly compile: (bytes: Uint8Array) => Promise<object>;
  readonly instantiate: (module: object, imports: object) => Promise<{ readonly exports: unknown }>;
  readonly Tag: new (type: { readonly parameters: readonly string[] }) => object;
}

/** The server's own clock work (expiry, timeouts of blocked clients) needs a pass now and then. */
const TICK_MS = 50;
/** What the server believes to listen on where it does so on a Unix socket. */
const INNER_PORT = 6379;
/** A pass may make work for the next one; after this many, sockets get their turn. */
const PASSES_AT_ONCE = 64;

async function main(port: NonNullable<typeof parentPort>, options: EmbeddedOptions): Promise<void> {
  const { bridge, stop } = await boot(options);
  const inner = bridge.openInner();
  await inner.command('CONFIG', 'SET', 'save', ''); // its own saving would need a fork
  await inner.command('ACL', 'SETUSER', 'default', 'resetpass', ...userRules(options.passwords));
  let [password] = options.passwords;
  inner.close();
  await bridge.bind(options.address);
  const tell = (message: ToKeeper): void => port.postMessage(message);
  const save = (): Promise<void> =>
    saveSnapshot(bridge, password).catch((error) => tell({ type: 'save-failed', message: messageOf(error) }));
  const saving = setInterval(() => void save(), options.saveEveryMs);
  const end = async (): Promise<void> => {
    clearInterval(saving);
    await save();
    stop();
    port.close(); // nothing is left that keeps the thread alive
  };
  port.on('message', (message: ToEmbedded) => {
    if (message.type === 'stop') void end();
    else [password] = message.passwords;
  });
  tell({ type: 'ready' });
}

async function saveSnapshot(bridge: SocketBridge, password: string): Promise<void> {
  const inner = bridge.openInner();
  try {
    await inner.command('AUTH', password);
    await inner.command('SAVE');
  } finally {
    inner.close();
  }
}

async function boot(
  options: EmbeddedOptions,
): Promise<{ readonly bridge: SocketBridge; readonly stop: () => void }> {
  const wasm = Reflect.get(globalThis, 'WebAssembly') as WasmApi;
  const log = openSync(options.logFile, 'a', 0o600);
  const wasi = new WASI({
    version: 'preview1',
    args: ['valkey-server'],
    env: {},
    preopens: { '/': options.dataDir },
    stdout: log,
    stderr: log,
  });
  let queued = false;
  let stopped = false;
  const step = (): void => {
    queued = false;
    if (stopped) return;
    let passes = 0;
    do {
      sandbox.rk_step();
      passes += 1;
    } while (bridge.firedCount > 0 && passes < PASSES_AT_ONCE);
    if (bridge.firedCount > 0) setImmediate(wake);
  };
  const wake = (): void => {
    if (queued || stopped) return;
    queued = true;
    queueMicrotask(step);
  };
  const bridge = new SocketBridge(
    (pointer, length) => Buffer.from(sandbox.memory.buffer, pointer, length),
    wake,
  );
  const instance = await wasm.instantiate(await wasm.compile(await readFile(options.wasmFile)), {
    wasi_snapshot_preview1: slowCalls(wasi.wasiImport),
    host: bridge.functions(),
    // Lua's error handling throws this tag; it carries a pointer to the jump's arguments.
    env: { __c_longjmp: new wasm.Tag({ parameters: ['i32'] }) },
  });
  const sandbox = instance.exports as Sandbox;
  wasi.initialize(instance);
  sandbox.rk_boot('port' in options.address ? options.address.port : INNER_PORT);
  const ticking = setInterval(wake, TICK_MS);
  const stop = (): void => {
    stopped = true;
    clearInterval(ticking);
    bridge.close();
  };
  return { bridge, stop };
}

/**
 * The same functions behind plain ones. V8 calls those of node:wasi by a shortcut once the code around is hot, and under
 * Node 20 that corrupts its heap: a SAVE after 8 MB had been written ended the process with SIGSEGV in 24 of 24 runs, in
 * none of 22 with these (nor with --no-turbo-fast-api-calls).
 */
function slowCalls(functions: object): Record<string, (...args: readonly unknown[]) => unknown> {
  const entries = Object.entries(functions) as [string, (...args: readonly unknown[]) => unknown][];
  return Object.fromEntries(entries.map(([name, call]) => [name, (...args) => call(...args)]));
}

if (parentPort === null) throw new Error('embedded-valkey-worker runs as a worker thread only');
await main(parentPort, workerData as EmbeddedOptions);
