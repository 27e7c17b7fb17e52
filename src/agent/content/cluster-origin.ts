import { write } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Manifest } from '../../lib/content/manifest.ts';
import { codeOf, messageOf } from '../../lib/errors.ts';
import type { FileTarget, ReceiveOptions, Target } from '../../models/receive/types.ts';
import {
  type ByteRange,
  type ByteSink,
  type ModelSource,
  type RemoteFile,
  SourceError,
} from '../../models/sources/types.ts';
import type { OpenListing, StreamOrigin } from '../../models/streaming/stream-origin.ts';
import type { ContentClient } from './content-client.ts';
import type { ContentNode } from './fetch-content.ts';

export interface ClusterOriginOptions {
  /** how long a head may be away (it is started anew, its machine is cut off) before what was asked of it fails */
  readonly patienceMs: number;
}

const PATIENT: ClusterOriginOptions = { patienceMs: 60_000 };
const RETRY_MS = 300;

/** The heads of the cluster, which have what they listed, or get it when it is asked for. */
export class ClusterOrigin implements StreamOrigin {
  readonly #client: ContentClient;
  readonly #nodes: () => Promise<readonly ContentNode[]>;
  readonly #options: ClusterOriginOptions;

  constructor(
    client: ContentClient,
    nodes: () => Promise<readonly ContentNode[]>,
    options: ClusterOriginOptions = PATIENT,
  ) {
    this.#client = client;
    this.#nodes = nodes;
    this.#options = options;
  }

  /** @throws SourceError when no head answers for long, or one cannot have it, with its words */
  async open(listing: string, signal: AbortSignal): Promise<OpenListing | null> {
    const told = await this.#ask(
      async (address) => await this.#client.listing(address, listing, signal),
      signal,
    );
    if (told === null) return null;
    const files = told.files.map(({ path, sizeBytes }, index) => ({
      path,
      file: { key: String(index), sizeBytes, version: null, hasRanges: true },
    }));
    return {
      ...{ model: told.model, content: told.content, files },
      source: new HeadSource(async (file, range, until) => {
        const bytes = await this.#ask(
          async (address) => await this.#client.listedPart(address, { listing, file, range }, until),
          until,
        );
        if (bytes === null) throw gone(told.model);
        return bytes;
      }),
      check: async (here, until) => {
        const there = await this.#ask(
          async (address) => await this.#client.listedContent(address, listing, until),
          until,
        );
        if (there === null || !isSame(here, there)) throw differs(told.model);
      },
    };
  }

  /** Asks one head after the other until one answers. @returns null when all that answer do not know it */
  async #ask<Answer>(ask: (address: string) => Promise<Answer>, signal: AbortSignal): Promise<Answer | null> {
    let heardAtMs = performance.now();
    for (;;) {
      const heads = (await this.#nodes()).filter((node) => node.isHead);
      const round = await askOnce(
        heads.map(({ address }) => address),
        ask,
        signal,
      );
      if (round.answer !== null) return round.answer;
      if (round.refusals > 0 && round.refusals === heads.length) return null;
      if (round.isBusy) heardAtMs = performance.now();
      if (performance.now() - heardAtMs > this.#options.patienceMs) {
        throw new SourceError(`the head is away: ${round.problem}`, { code: 'SOURCE_FAILED' });
      }
      await delay(RETRY_MS, undefined, { signal });
    }
  }
}

interface Round<Answer> {
  readonly answer: Answer | null;
  /** heads that do not know what they were asked for */
  readonly refusals: number;
  /** one is there, and does not have it yet */
  readonly isBusy: boolean;
  readonly problem: string;
}

/** @throws what a head says of why it cannot have it */
async function askOnce<Answer>(
  addresses: readonly string[],
  ask: (address: string) => Promise<Answer>,
  signal: AbortSignal,
): Promise<Round<Answer>> {
  const round = { answer: null, refusals: 0, isBusy: false, problem: 'no head is known' };
  for (const address of addresses) {
    try {
      return { ...round, answer: await ask(address) };
    } catch (error) {
      signal.throwIfAborted();
      const code = codeOf(error);
      if (!['SOURCE_HAS_NOT', 'SOURCE_BUSY', 'SOURCE_UNREACHABLE'].includes(code ?? '')) throw error;
      if (code === 'SOURCE_HAS_NOT') round.refusals += 1;
      round.isBusy ||= code === 'SOURCE_BUSY';
      round.problem = messageOf(error);
    }
  }
  return round;
}

type ReadPart = (file: number, range: ByteRange, signal: AbortSignal) => Promise<Uint8Array>;

/** What a head gives of one listing; files are named by their place in it. */
class HeadSource implements ModelSource {
  readonly canList = false;
  readonly #readPart: ReadPart;

  constructor(readPart: ReadPart) {
    this.#readPart = readPart;
  }

  async stat(): Promise<null> {
    return null;
  }

  async *list(): AsyncGenerator<readonly RemoteFile[]> {}

  async read(
    file: RemoteFile,
    range: ByteRange | null,
    sink: ByteSink,
    signal: AbortSignal,
  ): Promise<number> {
    const part = range ?? { offset: 0, length: file.sizeBytes ?? 0 };
    await sink(await this.#bytesOf(file, part, signal), part.offset);
    return part.offset + part.length;
  }

  async readInto(
    file: RemoteFile,
    range: ByteRange | null,
    target: Target,
    { signal, onBytes }: ReceiveOptions,
  ): Promise<number> {
    const part = range ?? { offset: 0, length: file.sizeBytes ?? 0 };
    const bytes = await this.#bytesOf(file, part, signal);
    if ('memory' in target) target.memory.set(bytes);
    else for (let done = 0; done < bytes.length; ) done += await writeAt(target, bytes, done);
    onBytes(bytes.length);
    return part.offset + part.length;
  }

  async #bytesOf(file: RemoteFile, part: ByteRange, signal: AbortSignal): Promise<Buffer> {
    const bytes = await this.#readPart(Number(file.key), part, signal);
    if (bytes.length !== part.length) {
      throw new SourceError(`the head sent ${bytes.length} of ${part.length} bytes`, {
        code: 'SOURCE_ANSWER',
      });
    }
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }
}

async function writeAt({ fd, position }: FileTarget, bytes: Buffer, done: number): Promise<number> {
  return (await promisify(write)(fd, bytes, done, bytes.length - done, position + done)).bytesWritten;
}

function isSame(here: Manifest, there: Manifest): boolean {
  const hashes = new Map(there.map((file) => [file.path, file.sha256]));
  return here.length === there.length && here.every((file) => hashes.get(file.path) === file.sha256);
}

function gone(model: string): SourceError {
  return new SourceError(`${model}: the head does not have it any more; apply again`, {
    code: 'SOURCE_CHANGED',
  });
}

function differs(model: string): SourceError {
  return new SourceError(
    `${model} has come, and is not what the head has; is the disk of this node or of the head damaged? See \`dmesg\``,
    { code: 'SOURCE_ANSWER' },
  );
}
