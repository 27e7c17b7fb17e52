import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { publicUri } from '../../config/model-uri.ts';
import type { StoredContent } from '../../lib/content/content-store.ts';
import { isHash, type Manifest } from '../../lib/content/manifest.ts';
import { codeOf, messageOf, ServeError } from '../../lib/errors.ts';
import { unlessAborted } from '../../lib/unless-aborted.ts';
import type { ComingModel } from '../../models/streaming/coming-model.ts';
import type { Listings } from '../../models/streaming/listings.ts';
import type { ModelStreams } from '../../models/streaming/model-streams.ts';
import { parse, rangeIn } from './read-request.ts';

export interface StreamRoutesDependencies {
  readonly streams: Pick<ModelStreams, 'join' | 'known' | 'find'>;
  readonly listings: Pick<Listings, 'read'>;
}

/** How long a part that has not come is waited for before the caller is asked to come back; it waits a little longer. */
const WAIT_MS = 6_000;

const byListing = z.object({ listing: z.string().refine(isHash) });
const byFile = byListing.extend({ file: z.coerce.number().int().min(0) });

/**
 * Gives models on to other nodes while they come: a part is sent when it is here, so that the server of a URI is asked for each
 * byte once, and by that node alone which has its credentials.
 */
export function addStreamRoutes(app: FastifyInstance, dependencies: StreamRoutesDependencies): void {
  app.get('/streams/:listing', async (request) => await describe(request, dependencies));
  app.get('/streams/:listing/content', async (request) => await describeContent(request, dependencies));
  app.get('/streams/:listing/files/:file', async (request, reply) => sendPart(request, reply, dependencies));
}

/** What the listing names, with its hash where that is known: then it can be had like all that is whole. */
async function describe(
  request: FastifyRequest,
  { streams, listings }: StreamRoutesDependencies,
): Promise<object> {
  const { listing } = parse(byListing, request.params);
  const known = await listings.read(listing);
  if (known === null) throw notHere(listing);
  const streamed = await orBroken(streams.join(listing));
  const content = streamed.kind === 'whole' ? streamed.content.hash : null;
  const model = known.uri === null ? listing : publicUri(known.uri);
  return {
    model,
    content,
    files: known.files.map(({ path, file }) => ({ path, sizeBytes: file.sizeBytes ?? 0 })),
  };
}

/** The hashes of all that has come; whoever asks waits until that is so. */
async function describeContent(
  request: FastifyRequest,
  dependencies: StreamRoutesDependencies,
): Promise<{ readonly files: Manifest }> {
  const { listing } = parse(byListing, request.params);
  const here = await hereOf(listing, dependencies);
  const whole = 'whole' in here ? await inTime((late) => unlessAborted(here.whole, late)) : here;
  return { files: whole.files };
}

async function sendPart(
  request: FastifyRequest,
  reply: FastifyReply,
  dependencies: StreamRoutesDependencies,
): Promise<FastifyReply> {
  const { listing, file } = parse(byFile, request.params);
  const here = await hereOf(listing, dependencies);
  const { path = '', sizeBytes = 0 } = here.files[file] ?? {};
  const part = rangeIn(request.headers.range, sizeBytes);
  if (part === null) throw new ServeError('this range is not here', { code: 'RANGE_NOT_HELD' });
  if ('whole' in here) await inTime((late) => here.whenRange(path, part, late));
  reply.code(206).header('content-length', part.length).type('application/octet-stream');
  const opened = await openIn(here, path);
  return reply.send(opened.createReadStream({ start: part.offset, end: part.offset + part.length - 1 }));
}

/** A model that has just come whole is given its name, and lies elsewhere from one moment to the next. */
async function openIn(here: StoredContent | ComingModel, path: string): Promise<FileHandle> {
  try {
    return await open(join(here.root, path));
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' || !('whole' in here)) throw error;
    return await open(join((await here.whole).root, path));
  }
}

/** One that has failed is begun anew only by `describe`: each request would try it again. */
async function hereOf(
  listing: string,
  { streams }: StreamRoutesDependencies,
): Promise<StoredContent | ComingModel> {
  const coming = streams.find(listing);
  if (coming !== null) return coming;
  const streamed = await orBroken(streams.join(listing));
  if (streamed.kind === 'named') throw notHere(listing);
  return streamed.kind === 'whole' ? streamed.content : streamed.model;
}

async function inTime<Result>(wait: (late: AbortSignal) => Promise<Result>): Promise<Result> {
  const late = AbortSignal.timeout(WAIT_MS);
  try {
    return await wait(late);
  } catch (error) {
    if (late.aborted) throw new ServeError('it has not come yet', { code: 'CONTENT_BUSY' });
    throw broken(error);
  }
}

async function orBroken<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    throw broken(error);
  }
}

/** A fetch that was ended goes on when it is asked for again, here or in the next node process. */
function broken(error: unknown): ServeError {
  if (codeOf(error) === 'STREAM_STOPPED') return new ServeError(messageOf(error), { code: 'CONTENT_BUSY' });
  return new ServeError(messageOf(error), { code: 'STREAM_BROKEN' }, { cause: error });
}

function notHere(listing: string): ServeError {
  return new ServeError(`this node knows nothing of ${listing}`, { code: 'CONTENT_NOT_FOUND' });
}
