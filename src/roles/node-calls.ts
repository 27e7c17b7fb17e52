import { type Agent, request } from 'undici';
import type { NodeRecord } from '../cluster/nodes/types.ts';
import type { Leader } from '../controller/leader.ts';
import { ServeError } from '../lib/errors.ts';
import type { LiveSecrets } from '../lib/live-secrets.ts';
import { nodesAgent, nodeUrl } from '../lib/tls/agents.ts';
import type { LiveTls } from '../lib/tls/live-tls.ts';
import { formatHostPort } from './addresses.ts';

export interface NodeCallsOptions {
  /** of the nodes' content servers, by which they are asked */
  readonly contentKeys: LiveSecrets;
  /** of connections between nodes; null: they are plain */
  readonly tls: LiveTls | null;
}

const ANSWER_MS = 3_000;

/** What the head asks nodes for, itself among them, by the server that gives their contents to others. */
export class NodeCalls {
  readonly #options: NodeCallsOptions;
  readonly #leader: Pick<Leader, 'view' | 'isAlive'>;
  readonly #connections: Agent;

  constructor(options: NodeCallsOptions, leader: Pick<Leader, 'view' | 'isAlive'>) {
    this.#options = options;
    this.#leader = leader;
    this.#connections = nodesAgent(options.tls, { connections: 2, connectTimeout: ANSWER_MS });
  }

  /** Nodes that are there and can be asked. */
  get nodes(): readonly NodeRecord[] {
    return this.#records.filter(
      ({ nodeId, contentPort = 0 }) => contentPort > 0 && this.#leader.isAlive(nodeId),
    );
  }

  /** @throws ServeError NODE_UNKNOWN; NODE_SILENT where it is known, and not there */
  node(nodeId: string): NodeRecord {
    const found = this.nodes.find((one) => one.nodeId === nodeId);
    if (found !== undefined) return found;
    if (this.#records.some((one) => one.nodeId === nodeId)) throw silent(nodeId, 'its lease has lapsed');
    throw new ServeError(`there is no node ${nodeId}: see /api/v1/nodes for what there is`, {
      code: 'NODE_UNKNOWN',
    });
  }

  /** @throws what the connection throws; ServeError NODE_ANSWER where the node has no such call (an earlier version) */
  async ask<Answer>(
    { host, contentPort = 0 }: NodeRecord,
    path: string,
    method: 'GET' | 'POST' = 'GET',
  ): Promise<Answer> {
    const { statusCode, body } = await request(
      `${nodeUrl(this.#options.tls, formatHostPort({ host, port: contentPort }))}${path}`,
      {
        method,
        headers: { authorization: `Bearer ${this.#options.contentKeys.current}` },
        dispatcher: this.#connections,
        signal: AbortSignal.timeout(ANSWER_MS),
      },
    );
    if (statusCode === 200) return (await body.json()) as Answer;
    await body.dump();
    throw new ServeError(`${path} was answered with ${statusCode}`, { code: 'NODE_ANSWER' });
  }

  async stop(): Promise<void> {
    await this.#connections.destroy();
  }

  get #records(): readonly NodeRecord[] {
    return [...this.#leader.view.nodes.values()].map(({ record }) => record);
  }
}

/** A node that should answer and does not. */
export function silent(nodeId: string, why: string): ServeError {
  return new ServeError(
    `node ${nodeId} does not answer (${why}): see \`modelserve status\` for how it does`,
    { code: 'NODE_SILENT' },
  );
}
