import type { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { parse } from './parse.ts';
import type { UploadDesk } from './types.ts';

/** A list of 100,000 files. */
const MANIFEST_BYTES = 64 * 1024 ** 2;

const look = z.object({ path: z.string().min(1), identity: z.string(), sha256: z.string() });
const manifest = z.object({
  files: z.array(
    z.object({ path: z.string(), sizeBytes: z.number(), sha256: z.string(), executable: z.boolean() }),
  ),
});
const blobPlace = z.object({ upload: z.string(), sha256: z.string() });
const blobOffset = z.object({ offset: z.coerce.number().int().nonnegative().default(0) });

/** By which a project comes from a machine whose disk the head does not see: what is missing is asked for, by hash. */
export function addUploadRoutes(app: FastifyInstance, uploads: UploadDesk): void {
  app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));
  app.post('/api/v1/sees', async (request) => ({ sees: await uploads.sees(parse(look, request.body)) }));
  app.post('/api/v1/uploads', { bodyLimit: MANIFEST_BYTES }, async (request) =>
    uploads.offer(parse(manifest, request.body).files),
  );
  app.put('/api/v1/uploads/:upload/:sha256', { bodyLimit: Number.MAX_SAFE_INTEGER }, async (request) => {
    const { upload, sha256 } = parse(blobPlace, request.params);
    const { offset } = parse(blobOffset, request.query);
    return { heldBytes: await uploads.receive(upload, { sha256, offset }, request.body as Readable) };
  });
}
