import { Readable } from 'node:stream';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { EnvironmentSample, NodeSample } from '../../cluster/metrics/samples.ts';
import type { NodeModels } from '../../cluster/status/models-document.ts';
import { isHash, type Manifest, totalBytesOf } from '../../lib/content/manifest.ts';
import { type Piece, PieceSet, pieceAt, pieceBytesFor } from '../../lib/content/pieces.ts';
import { readContent } from '../../lib/content/read-content.ts';
import { codeOf, messageOf, ServeError } from '../../lib/errors.ts';
import { bearerKey } from '../../lib/hash.ts';
import type { LiveSecrets } from '../../lib/live-secrets.ts';
import type { Log } from '../../lib/log.ts';
import { overTls } from '../../lib/tls/https-server.ts';
import type { LiveTls } from '../../lib/tls/live-tls.ts';
import { parse, rangeIn } from './read-request.ts';
import { addStreamRoutes, type StreamRoutesDependencies } from './stream-routes.ts';
import { Swarm } from './swarm.ts';

/** A content as this node can give it, whole or in part. */
export interface ServedContent {
  readonly root: string;
  readonly files: Manifest;
  readonly held: PieceSet;
}

export interface ContentServerOptions {
  readonly host: string;
  /** bearer keys: every call needs one */
  readonly keys: LiveSecrets;
  /** the certificate of this node; null: plain */
  readonly tls: LiveTls | null;
}

/** What the head may ask of a node. */
export interface NodeDesk {
  measure(): Promise<NodeSample>;
  environments(): Promise<readonly EnvironmentSample[]>;
  models(): Promise<NodeModels>;
  /** begins to end the node in order; returns at once */
  leave(): void;
}

export interface ContentServerDependencies {
  /** null: this node has nothing of it */
  readonly find: (hash: string) => Promise<ServedContent | null>;
  /** models that are given on while they come */
  readonly streaming: StreamRoutesDependencies;
  /** null: nothing can be said of this node yet */
  readonly desk: () => NodeDesk | null;
  readonly log: Log;
}

/** Streams at once; more are asked to come back. Each holds a file descriptor and a few chunks. */
const MAX_STREAMS = 64;
const MAX_SWARMS = 1_024;
/** Whoever they are: more would take the descriptors that the node needs for itself. */
const MAX_CONNECTIONS = 4_096;

const byHash = z.object({ hash: z.string().refine(isHash) });
const announcement = z.object({ nodeId: z.string(), address: z.string(), held: z.string() });
const pieceRequest = z.object({ nodeId: z.string(), wanted: z.string() });

const STATUS_OF: Readonly<Record<string, number>> = {
  BAD_REQUEST: 400,
  KEY_REFUSED: 401,
  CONTENT_NOT_FOUND: 404,
  RANGE_NOT_HELD: 416,
  STREAM_BROKEN: 424,
  CONTENT_BUSY: 503,
};

/**
 * Gives packages and models to other nodes of the cluster: lists of files, their bytes by range, and who else has which
 * pieces; and answers the head what it asks of this node. What it gives is named by hash; no path comes from outside.
 */
export class ContentServer {
  readonly #options: ContentServerOptions;
  readonly #dependencies: ContentServerDependencies;
  readonly #app: FastifyInstance;
  readonly #swarms = new Map<string, Swarm>();
  readonly #streams = new Map<string, number>();

  constructor(options: ContentServerOptions, dependencies: ContentServerDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#app = Fastify({ forceCloseConnections: true, bodyLimit: 1024 * 1024, ...overTls(options.tls) });
    this.#app.server.maxConnections = MAX_CONNECTIONS;
    this.#app.addHook('onRequest', async (request) => this.#authorize(request));
    this.#app.setErrorHandler((error, _request, reply) => this.#answerError(error, reply));
    this.#app.get('/content/:hash/manifest', async (request) => {
      const { files } = await this.#find(request);
      return { files };
    });
    this.#app.route({
      method: ['GET', 'HEAD'],
      url: '/content/:hash/bytes',
      exposeHeadRoute: false,
      handler: async (request, reply) => this.#bytes(request, reply),
    });
    addStreamRoutes(this.#app, dependencies.streaming);
    this.#app.post('/content/:hash/swarm', async (request) => await this.#swarmFor(request));
    this.#addNodeRoutes();
    this.#app.post('/content/:hash/pieces', async (request, reply) => await this.#anyPiece(request, reply));
  }

  /** @throws the listen error */
  async start(): Promise<void> {
    await this.#app.listen({ host: this.#options.host, port: 0 });
  }

  /** 0 before it listens */
  get port(): number {
    const address = this.#app.server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Idempotent; what is being sent is cut off: whoever fetches goes on elsewhere. */
  async stop(): Promise<void> {
    await this.#app.close();
  }

  #authorize(request: FastifyRequest): void {
    if (this.#options.keys.accepts(bearerKey(request.headers.authorization))) return;
    throw new ServeError('the key is missing or not that of this cluster', { code: 'KEY_REFUSED' });
  }

  #addNodeRoutes(): void {
    this.#app.get('/node/metrics', async () => await this.#desk().measure());
    this.#app.get('/node/environments', async () => ({ environments: await this.#desk().environments() }));
    this.#app.get('/node/models', async () => await this.#desk().models());
    this.#app.post('/node/leave', async (_request, reply) => {
      const desk = this.#desk();
      // Only once the answer has left: leaving closes this connection, too.
      reply.raw.once('close', () => desk.leave());
      return { leaving: true };
    });
  }

  #desk(): NodeDesk {
    const desk = this.#dependencies.desk();
    if (desk !== null) return desk;
    throw new ServeError('this node is about to start', { code: 'CONTENT_BUSY' });
  }

  async #find(request: FastifyRequest): Promise<ServedContent> {
    const { hash } = parse(byHash, request.params);
    const content = await this.#dependencies.find(hash);
    if (content !== null) return content;
    throw new ServeError(`this node has nothing of ${hash}`, { code: 'CONTENT_NOT_FOUND' });
  }

  async #bytes(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const content = await this.#find(request);
    const totalBytes = totalBytesOf(content.files);
    const part = rangeIn(request.headers.range, totalBytes);
    if (part === null || !isHeld(content, part, totalBytes)) {
      throw new ServeError('this range is not here', { code: 'RANGE_NOT_HELD' });
    }
    reply.header('accept-ranges', 'bytes');
    if (request.headers.range !== undefined) {
      const end = part.offset + part.length - 1;
      reply.code(206).header('content-range', `bytes ${part.offset}-${end}/${totalBytes}`);
    }
    if (request.method === 'HEAD') return reply.header('content-length', part.length).send();
    return this.#send(reply, content, part);
  }

  async #swarmFor(request: FastifyRequest): Promise<object> {
    const { held } = await this.#find(request);
    const { hash } = parse(byHash, request.params);
    const { nodeId, address, held: theirs } = parse(announcement, request.body);
    const swarm = this.#swarmOf(hash);
    swarm.announce({ nodeId, address, held: PieceSet.decode(theirs, held.size) }, performance.now());
    const peers = swarm.peersOf(nodeId, performance.now(), Math.random);
    return {
      held: held.encode(),
      peers: peers.map((peer) => ({ ...peer, held: peer.held.encode() })),
    };
  }

  async #anyPiece(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const content = await this.#find(request);
    const { hash } = parse(byHash, request.params);
    const { nodeId, wanted } = parse(pieceRequest, request.body);
    const piece = this.#swarmOf(hash).choose({
      nodeId,
      wanted: PieceSet.decode(wanted, content.held.size),
      activeStreams: this.#streams.get(hash) ?? 0,
      nowMs: performance.now(),
      random: Math.random(),
    });
    if (piece === null || !content.held.has(piece)) return reply.code(204).send();
    reply.header('x-piece', piece);
    return this.#send(reply, content, pieceAt(piece, totalBytesOf(content.files)), hash);
  }

  #send(reply: FastifyReply, content: ServedContent, part: Piece, hash = ''): FastifyReply {
    const all = [...this.#streams.values()].reduce((sum, count) => sum + count, 0);
    if (all >= MAX_STREAMS) throw new ServeError('too many nodes fetch at once', { code: 'CONTENT_BUSY' });
    this.#streams.set(hash, (this.#streams.get(hash) ?? 0) + 1);
    reply.raw.once('close', () => {
      const left = (this.#streams.get(hash) ?? 1) - 1;
      if (left === 0) this.#streams.delete(hash);
      else this.#streams.set(hash, left);
    });
    reply.header('content-length', part.length).type('application/octet-stream');
    return reply.send(Readable.from(readContent(content.root, content.files, part)));
  }

  #swarmOf(hash: string): Swarm {
    const known = this.#swarms.get(hash);
    if (known !== undefined) return known;
    const [oldest] = this.#swarms.keys();
    if (this.#swarms.size >= MAX_SWARMS && oldest !== undefined) this.#swarms.delete(oldest);
    const made = new Swarm();
    this.#swarms.set(hash, made);
    return made;
  }

  async #answerError(error: unknown, reply: FastifyReply): Promise<void> {
    const code = codeOf(error) ?? 'INTERNAL';
    const status = STATUS_OF[code] ?? 500;
    if (status === 500)
      this.#dependencies.log.error({ code, error: messageOf(error) }, 'content was not given');
    await reply.code(status).send({ code, info: messageOf(error) });
  }
}

function isHeld({ held }: ServedContent, { offset, length }: Piece, totalBytes: number): boolean {
  const pieceBytes = pieceBytesFor(totalBytes);
  for (let piece = Math.floor(offset / pieceBytes); piece * pieceBytes < offset + length; piece += 1) {
    if (!held.has(piece)) return false;
  }
  return true;
}
