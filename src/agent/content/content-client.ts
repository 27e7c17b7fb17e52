import { type Agent, type Dispatcher, request } from 'undici';
import { z } from 'zod';
import { checkManifest, isManifestOf, type Manifest } from '../../lib/content/manifest.ts';
import { type Piece, PieceSet } from '../../lib/content/pieces.ts';
import { codeOf, messageOf, ServeError } from '../../lib/errors.ts';
import type { LiveSecrets } from '../../lib/live-secrets.ts';
import { nodesAgent, nodeUrl } from '../../lib/tls/agents.ts';
import type { LiveTls } from '../../lib/tls/live-tls.ts';
import type { Peer } from './swarm.ts';

/** Another node has not given what was asked of it. */
export class SourceError extends ServeError<{
  readonly code: 'SOURCE_UNREACHABLE' | 'SOURCE_HAS_NOT' | 'SOURCE_BUSY' | 'SOURCE_ANSWER';
  readonly address: string;
}> {
  override readonly name = 'SourceError';
}

/** What a node says of itself and others when it hears what the caller holds. */
export interface SwarmAnswer {
  /** pieces that the node itself holds */
  readonly held: PieceSet;
  readonly peers: readonly Peer[];
}

export interface ContentClientOptions {
  readonly keys: LiveSecrets;
  /** the certificate of this node; null: other nodes are asked plainly */
  readonly tls: LiveTls | null;
  readonly nodeId: string;
  /** `host:port` of the caller's own content server */
  readonly address: () => string;
}

/** A node that gives nothing for this long is asked no further. */
const SILENCE_MS = 10_000;
const CONNECTIONS_PER_NODE = 6;
const MAX_JSON_BYTES = 64 * 1024 ** 2;

const manifestAnswer = z.object({
  files: z.array(
    z.object({ path: z.string(), sizeBytes: z.number(), sha256: z.string(), executable: z.boolean() }),
  ),
});
const listingAnswer = z.object({
  /** for people */
  model: z.string(),
  /** null: its hash is not known yet */
  content: z.string().nullable(),
  files: z.array(z.object({ path: z.string(), sizeBytes: z.number() })),
});
const refusalAnswer = z.object({ info: z.string() });
const swarmAnswer = z.object({
  held: z.string(),
  peers: z.array(z.object({ nodeId: z.string(), address: z.string(), held: z.string() })),
});

/** What is asked of other nodes' content servers. Each call ends: by its answer, a SourceError, or the signal. */
export class ContentClient {
  readonly #options: ContentClientOptions;
  readonly #connections: Agent;

  constructor(options: ContentClientOptions) {
    this.#options = options;
    this.#connections = nodesAgent(options.tls, {
      connections: CONNECTIONS_PER_NODE,
      connectTimeout: SILENCE_MS,
      headersTimeout: SILENCE_MS,
      bodyTimeout: SILENCE_MS,
    });
  }

  /** @throws SourceError; ManifestError when the list is not what the hash names, or leads out of its folder */
  async manifest(address: string, hash: string, signal: AbortSignal): Promise<Manifest> {
    const answer = await this.#ask(address, { path: `content/${hash}/manifest`, signal });
    const { files } = manifestAnswer.parse(parseJson(answer.bytes, address));
    checkManifest(files);
    if (isManifestOf(hash, files)) return files;
    throw new SourceError(`${address} sent a list of files that is not that of ${hash}`, {
      ...{ code: 'SOURCE_ANSWER', address },
    });
  }

  /** Says what is held here, and hears who holds what. */
  async announce(address: string, hash: string, held: PieceSet, signal: AbortSignal): Promise<SwarmAnswer> {
    const { nodeId } = this.#options;
    const body = { nodeId, address: this.#options.address(), held: held.encode() };
    const answer = await this.#ask(address, { path: `content/${hash}/swarm`, body, signal });
    const told = swarmAnswer.parse(parseJson(answer.bytes, address));
    return {
      held: PieceSet.decode(told.held, held.size),
      peers: told.peers.map((peer) => ({ ...peer, held: PieceSet.decode(peer.held, held.size) })),
    };
  }

  /**
   * Has a node that holds everything choose one of the wanted pieces.
   * @returns null when others have all of them
   */
  async anyPiece(
    address: string,
    hash: string,
    wanted: PieceSet,
    signal: AbortSignal,
  ): Promise<{ readonly piece: number; readonly bytes: Uint8Array } | null> {
    const body = { nodeId: this.#options.nodeId, wanted: wanted.encode() };
    const answer = await this.#ask(address, { path: `content/${hash}/pieces`, body, signal });
    return answer.status === 204 ? null : { piece: answer.piece, bytes: answer.bytes };
  }

  /** What a head listed under a URI. @throws SourceError */
  async listing(
    address: string,
    listing: string,
    signal: AbortSignal,
  ): Promise<z.infer<typeof listingAnswer>> {
    const answer = await this.#ask(address, { path: `streams/${listing}`, signal });
    const told = listingAnswer.parse(parseJson(answer.bytes, address));
    checkManifest(told.files.map((file) => ({ ...file, sha256: '0'.repeat(64), executable: false })));
    return told;
  }

  /** The files of a listing with their hashes. @throws SourceError; SOURCE_BUSY until all of it has come */
  async listedContent(address: string, listing: string, signal: AbortSignal): Promise<Manifest> {
    const answer = await this.#ask(address, { path: `streams/${listing}/content`, signal });
    return manifestAnswer.parse(parseJson(answer.bytes, address)).files;
  }

  /** A part of a listed file. @throws SourceError; SOURCE_BUSY until it has come */
  async listedPart(
    address: string,
    { listing, file, range }: { readonly listing: string; readonly file: number; readonly range: Piece },
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const path = `streams/${listing}/files/${file}`;
    return (await this.#ask(address, { path, range: rangeOf(range), signal })).bytes;
  }

  async piece(address: string, hash: string, part: Piece, signal: AbortSignal): Promise<Uint8Array> {
    return (await this.#ask(address, { path: `content/${hash}/bytes`, range: rangeOf(part), signal })).bytes;
  }

  async close(): Promise<void> {
    await this.#connections.destroy();
  }

  async #ask(
    address: string,
    call: {
      readonly path: string;
      readonly body?: object;
      readonly range?: string;
      readonly signal: AbortSignal;
    },
  ): Promise<{ readonly status: number; readonly piece: number; readonly bytes: Uint8Array }> {
    try {
      const { statusCode, headers, body } = await request(
        `${nodeUrl(this.#options.tls, address)}/${call.path}`,
        {
          method: call.body === undefined ? 'GET' : 'POST',
          headers: {
            authorization: `Bearer ${this.#options.keys.current}`,
            ...(call.range === undefined ? {} : { range: call.range }),
            ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
          },
          ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
          signal: call.signal,
          dispatcher: this.#connections,
        },
      );
      const length = Number(headers['content-length'] ?? 0);
      if (statusCode >= 400 || length > MAX_JSON_BYTES)
        throw refusal(statusCode, address, { path: call.path, words: await wordsOf(statusCode, body) });
      const bytes = await gathered(body, length);
      return { status: statusCode, piece: Number(headers['x-piece'] ?? -1), bytes };
    } catch (cause) {
      if (cause instanceof SourceError) throw cause;
      call.signal.throwIfAborted();
      throw new SourceError(
        `${address} does not answer (${codeOf(cause) ?? messageOf(cause)})`,
        { code: 'SOURCE_UNREACHABLE', address },
        { cause },
      );
    }
  }
}

/** Into one buffer from the start, where its size is known: pieces of megabytes are copied once, and leave no garbage but themselves. */
async function gathered(body: AsyncIterable<Buffer>, expectedBytes: number): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(expectedBytes);
  let at = 0;
  for await (const chunk of body) {
    if (at + chunk.length > expectedBytes) break;
    at += chunk.copy(bytes, at);
  }
  return bytes.subarray(0, at);
}

/** Of most refusals the status says it all. */
async function wordsOf(status: number, body: Dispatcher.ResponseData['body']): Promise<string> {
  if (status === 424) return await body.text();
  await body.dump();
  return '';
}

function refusal(
  status: number,
  address: string,
  { path, words }: { readonly path: string; readonly words: string },
): SourceError {
  if (status === 404 || status === 416) {
    return new SourceError(`${address} does not have it`, { code: 'SOURCE_HAS_NOT', address });
  }
  if (status === 503) return new SourceError(`${address} is busy`, { code: 'SOURCE_BUSY', address });
  const answered = words === '' ? `${address} answered ${status} to /${path}` : toldIn(words, address);
  return new SourceError(answered, { code: 'SOURCE_ANSWER', address });
}

/** Why another node cannot have it, either. */
function toldIn(words: string, address: string): string {
  return refusalAnswer.parse(parseJson(Buffer.from(words), address)).info;
}

function rangeOf({ offset, length }: Piece): string {
  return `bytes=${offset}-${offset + length - 1}`;
}

function parseJson(bytes: Uint8Array, address: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString());
  } catch {
    throw new SourceError(`${address} sent what is no JSON`, { code: 'SOURCE_ANSWER', address });
  }
}
