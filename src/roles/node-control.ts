import { rm } from 'node:fs/promises';
import Fastify, { type FastifyInstance } from 'fastify';

export interface NodeControlHandlers {
  /** starts to end the node; returns at once, the caller watches the process go */
  readonly stop: (options: { readonly keepReplicas: boolean }) => void;
}

/** The Unix socket by which `modelserve stop` speaks to the node process of a state directory. */
export class NodeControl {
  readonly #socketPath: string;
  readonly #app: FastifyInstance;

  constructor(socketPath: string, handlers: NodeControlHandlers) {
    this.#socketPath = socketPath;
    this.#app = Fastify({ forceCloseConnections: true });
    this.#app.post<{ Body: { keepReplicas?: boolean } }>('/stop', async (request, reply) => {
      const keepReplicas = request.body.keepReplicas === true;
      // Only once the answer has left: stopping closes this connection, too.
      reply.raw.once('close', () => handlers.stop({ keepReplicas }));
      return { stopping: true };
    });
  }

  async start(): Promise<void> {
    await rm(this.#socketPath, { force: true }); // the state directory is locked: a socket there is a dead node's
    await this.#app.listen({ path: this.#socketPath });
  }

  async stop(): Promise<void> {
    await this.#app.close();
  }
}
