import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Outcome } from '../cluster/metrics/outcomes.ts';
import { FRAMEWORK_LOG, type RotationRules, rotate } from '../lib/rotating-file.ts';

/** What is known of a request that is over. Neither its query, nor its headers, nor anything of its body. */
export interface AccessEntry {
  /** when it came, ms since 1970 */
  readonly atMs: number;
  readonly requestId: string;
  /** of its `traceparent`, or of the trace that was begun for it; null: it has none */
  readonly traceId: string | null;
  /** the address that it came from */
  readonly client: string;
  readonly method: string;
  readonly path: string;
  /** null: its path is no deployment's */
  readonly deployment: string | null;
  /** of the answer; 499: its client left before there was one */
  readonly status: number;
  readonly outcome: Outcome;
  /** of an error that the framework answered; null: it answered none */
  readonly code: string | null;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** from its head to the last byte of its answer */
  readonly durationMs: number;
  /** of that, waiting for a replica */
  readonly queueMs: number;
  /** of that, at the replica that answered; null: none did */
  readonly replicaMs: number | null;
  /** the last replica that had it, and its node */
  readonly replica: string | null;
  readonly replicaNode: string | null;
  /** how often it went to another replica because one died with it */
  readonly retries: number;
}

/** Lines leave together: when there are so many bytes of them, or a second has passed. */
const GATHERED_BYTES = 32 * 1024;
const FLUSH_MS = 1_000;
/** A disk that is slower than the requests loses lines instead of taking memory. */
const MOST_BUFFERED_BYTES = 4 * 1024 * 1024;

/**
 * A line of JSON for each request, written beside the requests and not on their way. Several processes may write the same
 * file. What a full disk, or a slow one, does not take is counted, and said as soon as it takes something again.
 */
export class AccessLog {
  readonly #path: string;
  readonly #rules: RotationRules;
  readonly #timer: NodeJS.Timeout;
  #file: FileHandle | null = null;
  #inode = 0;
  #lines: string[] = [];
  #bufferedBytes = 0;
  #dropped = 0;
  #writing: Promise<void> | null = null;

  constructor(path: string, rules: RotationRules = FRAMEWORK_LOG) {
    this.#path = path;
    this.#rules = rules;
    this.#timer = setInterval(() => this.#flush(), FLUSH_MS);
    this.#timer.unref();
  }

  write(entry: AccessEntry): void {
    if (this.#bufferedBytes > MOST_BUFFERED_BYTES) {
      this.#dropped += 1;
      return;
    }
    const line = lineOf(entry);
    this.#lines.push(line);
    this.#bufferedBytes += line.length; // it is ASCII
    if (this.#bufferedBytes >= GATHERED_BYTES) this.#flush();
  }

  /** What was written is in the file then. Idempotent. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#writing;
    this.#flush();
    await this.#writing;
    await this.#file?.close();
    this.#file = null;
  }

  #flush(): void {
    if (this.#writing !== null || this.#lines.length === 0) return;
    const lines = this.#lines;
    this.#lines = [];
    this.#bufferedBytes = 0;
    this.#writing = this.#append(lines).finally(() => {
      this.#writing = null;
      if (this.#bufferedBytes >= GATHERED_BYTES) this.#flush();
    });
  }

  async #append(lines: readonly string[]): Promise<void> {
    const dropped = this.#dropped;
    try {
      const file = await this.#current();
      await file.appendFile((dropped === 0 ? '' : droppedLine(dropped)) + lines.join(''));
      this.#dropped -= dropped;
    } catch {
      this.#dropped += lines.length;
    }
  }

  async #current(): Promise<FileHandle> {
    if (this.#file !== null && rotate(this.#path, this.#inode, this.#rules)) {
      const before = this.#file;
      this.#file = null;
      await before.close();
    }
    if (this.#file === null) {
      await mkdir(dirname(this.#path), { recursive: true });
      this.#file = await open(this.#path, 'a', 0o600);
      this.#inode = (await this.#file.stat()).ino;
    }
    return this.#file;
  }
}

/** All of it is ASCII: node:http takes no other path. */
function lineOf(entry: AccessEntry): string {
  const { atMs, requestId, traceId, client, method, path, deployment, status, outcome, code } = entry;
  return (
    `{"time":"${new Date(atMs).toISOString()}","component":"access","requestId":"${requestId}"` +
    (traceId === null ? '' : `,"traceId":"${traceId}"`) +
    `,"client":${JSON.stringify(client)},"method":${JSON.stringify(method)},"path":${JSON.stringify(path)}` +
    (deployment === null ? '' : `,"deployment":${JSON.stringify(deployment)}`) +
    `,"status":${status},"outcome":"${outcome}"${code === null ? '' : `,"code":${JSON.stringify(code)}`}` +
    `,"requestBytes":${entry.requestBytes},"responseBytes":${entry.responseBytes}` +
    `,"durationMs":${rounded(entry.durationMs)},"queueMs":${rounded(entry.queueMs)}` +
    (entry.replicaMs === null ? '' : `,"replicaMs":${rounded(entry.replicaMs)}`) +
    (entry.replica === null
      ? ''
      : `,"replica":${JSON.stringify(entry.replica)},"replicaNode":${JSON.stringify(entry.replicaNode ?? '')}`) +
    `${entry.retries === 0 ? '' : `,"retries":${entry.retries}`}}\n`
  );
}

function droppedLine(count: number): string {
  return `{"time":"${new Date().toISOString()}","component":"access","dropped":${count}}\n`;
}

/** To a µs. */
function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
