import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { addAbortSignal } from 'node:stream';
import type { LogQuery, LogSource } from '../admin/types.ts';
import { linkRequest } from '../channel/link-request.ts';
import type { NodeRecord } from '../cluster/nodes/types.ts';
import type { StatePaths } from '../config/paths.ts';
import { messageOf, ServeError } from '../lib/errors.ts';
import type { LiveSecrets } from '../lib/live-secrets.ts';
import type { LiveTls } from '../lib/tls/live-tls.ts';
import { isFileName, type LogPlace, logAddress, openNodeLog } from '../telemetry/node-logs.ts';
import { byTime, type LineSource, merged } from './merge-lines.ts';

export interface ClusterLogsOptions {
  readonly nodeId: string;
  readonly linkKeys: LiveSecrets;
  /** of links; null: they are plain */
  readonly tls: LiveTls | null;
  readonly paths: Pick<StatePaths, 'logs' | 'replicaLogs'>;
}

export interface ClusterLogsDependencies {
  /** replicas that the cluster knows, with the node they are on */
  readonly replicasOf: (
    deployment: string,
  ) => readonly { readonly nodeId: string; readonly replicaId: string }[];
  /** whether the configuration has it, with replicas or without */
  readonly isDeployed: (deployment: string) => boolean;
  /** all that it knows, this one among them */
  readonly nodes: () => readonly NodeRecord[];
}

const LINK_TIMEOUT_MS = 5_000;
/** A search reads all that a node has before it may find anything. */
const SEARCH_TIMEOUT_MS = 60_000;
/** Replicas that are gone are shown while their log is among this many newest files. */
const RECENT_FILES = 3;
/** With a moment to begin at, so many lines before now are looked through on each node. */
const MOST_LINES = 100_000;

/** What replicas print and what the framework writes, from this node's files, and over links from the other nodes'. */
export class ClusterLogs implements LogSource {
  readonly #options: ClusterLogsOptions;
  readonly #dependencies: ClusterLogsDependencies;

  constructor(options: ClusterLogsOptions, dependencies: ClusterLogsDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  async open(query: LogQuery, signal: AbortSignal): Promise<AsyncIterable<string>> {
    const { node } = query;
    const nodes = this.#dependencies.nodes().map(({ nodeId }) => nodeId);
    if (node !== null && !nodes.includes(node)) {
      throw notFound(`there is no node ${node}; nodes: ${nodes.join(', ')}`);
    }
    const wanted = (one: string): boolean => node === null || node === one;
    switch (query.of) {
      case 'replicas':
        return merged(await this.#replicas(query, wanted), signal);
      case 'component': {
        const { component } = query;
        const lines = query.sinceMs === null ? query.lines : MOST_LINES;
        const sources = nodes
          .filter(wanted)
          .map((nodeId) => this.#framework(nodeId, { kind: 'component', component }, { ...query, lines }));
        return query.follow ? merged(sources, signal) : byTime(sources, signal);
      }
      case 'request': {
        const { requestId, deployment, sinceMs } = query;
        const place: LogPlace = { kind: 'request', requestId, deployment };
        const extent = { lines: 0, follow: false, sinceMs };
        return byTime(
          nodes.filter(wanted).map((nodeId) => this.#framework(nodeId, place, extent)),
          signal,
        );
      }
    }
  }

  async #replicas(
    query: Extract<LogQuery, { readonly of: 'replicas' }>,
    wanted: (nodeId: string) => boolean,
  ): Promise<readonly LineSource[]> {
    const { deployment, replicaId } = query;
    const known = isFileName(deployment) ? await this.#replicasOf(deployment) : [];
    const found = known.filter(
      (one) => wanted(one.nodeId) && (replicaId === null || one.replicaId === replicaId),
    );
    if (found.length === 0) {
      // One that waits for room has written nothing yet: whoever follows it asks for no mistake.
      if (replicaId === null && query.node === null && this.#dependencies.isDeployed(deployment)) return [];
      const which = replicaId === null ? deployment : `${deployment} replica ${replicaId}`;
      throw notFound(`there is no log of ${which}: see \`modelserve status\` for what there is`);
    }
    return found.map((one): LineSource => {
      const place: LogPlace = { kind: 'replica', deployment, replicaId: one.replicaId };
      return {
        open: (signal) => this.#read(one.nodeId, { place, extent: query }, signal),
        mark: (line) => (found.length > 1 ? `${one.replicaId}  ${line}` : line),
      };
    });
  }

  /** Lines of JSON say on which node they were written; others, which a search finds, whose they are. */
  #framework(
    nodeId: string,
    place: LogPlace,
    extent: { readonly lines: number; readonly follow: boolean; readonly sinceMs?: number | null },
  ): LineSource {
    const { sinceMs = null } = extent;
    const since = sinceMs === null ? null : new Date(sinceMs).toISOString();
    return {
      open: (signal) => this.#read(nodeId, { place, extent }, signal),
      mark: (line) => {
        if (since !== null && timeOf(line) < since) return null;
        return line.startsWith('{"') ? `{"node":${JSON.stringify(nodeId)},${line.slice(1)}` : line;
      },
    };
  }

  /** Of those that are here now, and of this node's that were here last. */
  async #replicasOf(
    deployment: string,
  ): Promise<readonly { readonly nodeId: string; readonly replicaId: string }[]> {
    const { nodeId } = this.#options;
    const known = this.#dependencies.replicasOf(deployment);
    const recent = await this.#recentFiles(deployment);
    const gone = recent.filter((id) => !known.some(({ replicaId }) => replicaId === id));
    return [...known, ...gone.map((replicaId) => ({ nodeId, replicaId }))];
  }

  async *#read(
    nodeId: string,
    asked: {
      readonly place: LogPlace;
      readonly extent: { readonly lines: number; readonly follow: boolean };
    },
    signal: AbortSignal,
  ): AsyncGenerator<Buffer> {
    try {
      const isHere = nodeId === this.#options.nodeId;
      const chunks = isHere
        ? await openNodeLog(this.#options.paths, asked, signal)
        : await this.#overLink(nodeId, logAddress(asked.place, asked.extent), signal);
      if (chunks === null) return; // it has not written anything yet
      for await (const chunk of chunks) yield chunk;
    } catch (error) {
      if (!signal.aborted)
        yield Buffer.from(`[the log on node ${nodeId} cannot be read: ${messageOf(error)}]\n`);
    }
  }

  async #overLink(
    nodeId: string,
    { path, query }: { readonly path: string; readonly query: string },
    signal: AbortSignal,
  ): Promise<AsyncIterable<Buffer> | null> {
    const node = this.#dependencies.nodes().find((one) => one.nodeId === nodeId);
    if (node === undefined) return null; // it has left meanwhile
    const link = {
      address: { host: node.host, port: node.linkPort },
      nodeId: this.#options.nodeId,
      peerNodeId: nodeId,
      linkKeys: this.#options.linkKeys,
      tls: this.#options.tls,
      timeoutMs: path.startsWith('/-/request') ? SEARCH_TIMEOUT_MS : LINK_TIMEOUT_MS,
    };
    const answer = await linkRequest(link, path, query);
    return answer.status === 200 ? addAbortSignal(signal, answer.body) : null;
  }

  async #recentFiles(deployment: string): Promise<readonly string[]> {
    const folder = join(this.#options.paths.replicaLogs, deployment);
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

function notFound(message: string): ServeError {
  return new ServeError(message, { code: 'LOG_NOT_FOUND' });
}

/** Of a line of the framework; '~', which is behind all times, where it is none. */
function timeOf(line: string): string {
  return /^\{.*?"time":"([^"]+)"/.exec(line)?.[1] ?? '~';
}
