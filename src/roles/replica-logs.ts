import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { addAbortSignal } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import type { LogQuery, LogSource } from '../admin/types.ts';
import { linkRequest } from '../channel/link-request.ts';
import type { NodeRecord } from '../cluster/nodes/types.ts';
import { messageOf, ServeError } from '../lib/errors.ts';
import { tailLog } from '../lib/log-tail.ts';

export interface ReplicaLogsOptions {
  readonly nodeId: string;
  readonly linkKey: string;
  /** StatePaths.replicaLogs of this node */
  readonly logsDir: string;
}

export interface ReplicaLogsDependencies {
  /** replicas that the cluster knows, with the node they are on */
  readonly replicasOf: (
    deployment: string,
  ) => readonly { readonly nodeId: string; readonly replicaId: string }[];
  readonly nodeOf: (nodeId: string) => NodeRecord | null;
}

interface Source {
  readonly replicaId: string;
  readonly open: (signal: AbortSignal) => AsyncIterable<Buffer>;
}

const LINK_TIMEOUT_MS = 5_000;
/** Replicas that are gone are shown while their log is among this many newest files. */
const RECENT_FILES = 3;

/** Output of replicas from this node's files, and over links from the other nodes'. */
export class ReplicaLogs implements LogSource {
  readonly #options: ReplicaLogsOptions;
  readonly #dependencies: ReplicaLogsDependencies;

  constructor(options: ReplicaLogsOptions, dependencies: ReplicaLogsDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  async open(query: LogQuery, signal: AbortSignal): Promise<AsyncIterable<string>> {
    const found = isFolderName(query.deployment) ? await this.#sources(query) : [];
    const sources = found.filter(
      (source) => query.replicaId === null || source.replicaId === query.replicaId,
    );
    if (sources.length === 0) {
      const which =
        query.replicaId === null ? query.deployment : `${query.deployment} replica ${query.replicaId}`;
      throw new ServeError(`there is no log of ${which}: see \`modelserve status\` for what there is`, {
        code: 'LOG_NOT_FOUND',
      });
    }
    return merge(sources, signal);
  }

  async #sources(query: LogQuery): Promise<readonly Source[]> {
    const known = this.#dependencies.replicasOf(query.deployment);
    const here = new Set(
      known.filter(({ nodeId }) => nodeId === this.#options.nodeId).map(({ replicaId }) => replicaId),
    );
    for (const replicaId of await this.#recentFiles(query.deployment)) here.add(replicaId);
    const local = [...here].map((replicaId) => ({
      replicaId,
      open: (signal: AbortSignal) =>
        tailLog(join(this.#options.logsDir, query.deployment, `${replicaId}.log`), {
          lines: query.lines,
          follow: query.follow,
          signal,
        }),
    }));
    const remote = known
      .filter(({ nodeId }) => nodeId !== this.#options.nodeId)
      .map(({ nodeId, replicaId }) => ({
        replicaId,
        open: (signal: AbortSignal) => this.#overLink(nodeId, replicaId, { query, signal }),
      }));
    return [...local, ...remote];
  }

  async *#overLink(
    nodeId: string,
    replicaId: string,
    wish: { readonly query: LogQuery; readonly signal: AbortSignal },
  ): AsyncGenerator<Buffer> {
    const node = this.#dependencies.nodeOf(nodeId);
    if (node === null) return; // it has left meanwhile
    const { deployment, lines, follow } = wish.query;
    const link = {
      address: { host: node.host, port: node.linkPort },
      nodeId: this.#options.nodeId,
      peerNodeId: nodeId,
      linkKey: this.#options.linkKey,
      timeoutMs: LINK_TIMEOUT_MS,
    };
    try {
      const answer = await linkRequest(
        link,
        `/-/logs/${deployment}/${replicaId}`,
        `lines=${lines}&follow=${follow ? 1 : 0}`,
      );
      if (answer.status !== 200) return; // it has not written anything yet
      for await (const chunk of addAbortSignal(wish.signal, answer.body)) yield chunk as Buffer;
    } catch (error) {
      if (!wish.signal.aborted)
        yield Buffer.from(`[the log on node ${nodeId} cannot be read: ${messageOf(error)}]\n`);
    }
  }

  async #recentFiles(deployment: string): Promise<readonly string[]> {
    const folder = join(this.#options.logsDir, deployment);
    const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.log'));
    const aged = await Promise.all(
      names.map(async (name) => ({ name, atMs: (await stat(join(folder, name))).mtimeMs })),
    );
    return aged
      .sort((left, right) => right.atMs - left.atMs)
      .slice(0, RECENT_FILES)
      .map(({ name }) => name.slice(0, -'.log'.length));
  }
}

/** A name comes from outside, and names a folder below that of the logs and nothing else. */
function isFolderName(name: string): boolean {
  return name === basename(name) && name !== '' && !name.startsWith('.');
}

/** All sources at once, line by line; a line says whose it is when there are several. */
async function* merge(sources: readonly Source[], signal: AbortSignal): AsyncGenerator<string> {
  const stop = new AbortController();
  const ended = AbortSignal.any([signal, stop.signal]);
  const labelled = sources.length > 1;
  const readers = sources.map((source) =>
    linesOf(source.open(ended), labelled ? `${source.replicaId}  ` : ''),
  );
  const pending = new Map(readers.map((reader, index) => [index, nextOf(reader, index)]));
  try {
    while (pending.size > 0) {
      const { index, result } = await Promise.race(pending.values());
      const reader = readers[index];
      if (result.done === true || reader === undefined) pending.delete(index);
      else {
        yield result.value;
        pending.set(index, nextOf(reader, index));
      }
    }
  } finally {
    stop.abort();
  }
}

interface Next {
  readonly index: number;
  readonly result: IteratorResult<string>;
}

async function nextOf(reader: AsyncGenerator<string>, index: number): Promise<Next> {
  return { index, result: await reader.next() };
}

async function* linesOf(chunks: AsyncIterable<Buffer>, label: string): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop() ?? '';
    if (lines.length > 0) yield lines.map((line) => `${label}${line}\n`).join('');
  }
  if (rest !== '') yield `${label}${rest}\n`;
}
