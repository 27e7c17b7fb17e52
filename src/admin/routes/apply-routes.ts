import { z } from 'zod';
import { fetchList, held, seen, uploadOffer } from '../answers/measurement-answers.ts';
import { applyAnswer, planAnswer } from '../answers/revision-answers.ts';
import { progress } from '../answers/status-answers.ts';
import { BYTES, type Route, route } from '../route.ts';
import type { AdminBackend, UploadDesk } from '../types.ts';

/** A list of 100,000 files. */
const MANIFEST_BYTES = 64 * 1024 ** 2;

const sourceBody = z.object({
  conf: z.string().min(1).describe('path of conf.ini on the head, or what it is called where it came from'),
  upload: z.string().nullable().default(null).describe('names an upload; null: the path is on the head'),
});
const progressQuery = z.object({
  revision: z.coerce.number().int().nonnegative(),
  deployments: z.string().default('').describe('names, separated by commas'),
});
const look = z.object({ path: z.string().min(1), identity: z.string(), sha256: z.string() });
const manifest = z.object({
  files: z.array(
    z.object({ path: z.string(), sizeBytes: z.number(), sha256: z.string(), executable: z.boolean() }),
  ),
});
const blobPlace = z.object({ upload: z.string(), sha256: z.string() });
const blobOffset = z.object({ offset: z.coerce.number().int().nonnegative().default(0) });

const tag = 'apply';

/** How a conf.ini comes into force. */
export function applyRoutes(backend: AdminBackend): readonly Route[] {
  return [
    route({
      ...{ method: 'POST', path: '/api/v1/plan', tag, body: sourceBody, answer: planAnswer },
      summary: 'what applying a conf.ini would change',
      handle: async ({ body: { conf, upload }, signal }) =>
        await backend.plan({ confPath: conf, upload }, signal),
    }),
    route({
      ...{ method: 'POST', path: '/api/v1/apply', tag, body: sourceBody, answer: applyAnswer },
      summary: 'brings a conf.ini into force: answers when its revision is recorded',
      handle: async ({ body: { conf, upload }, signal }) =>
        await backend.apply({ confPath: conf, upload }, signal),
    }),
    route({
      ...{ method: 'GET', path: '/api/v1/fetches', tag, answer: fetchList },
      summary: 'models that are being fetched from servers for applies',
      handle: () => ({ fetches: backend.fetches() }),
    }),
    route({
      ...{ method: 'GET', path: '/api/v1/progress', tag, query: progressQuery, answer: progress },
      summary: 'how far a revision is',
      handle: ({ query: { revision, deployments } }) =>
        backend.progress({ revision, deployments: deployments.split(',').filter((name) => name !== '') }),
    }),
  ];
}

/** By which a project comes from a machine whose disk the head does not see: what is missing is asked for, by hash. */
export function uploadRoutes(uploads: UploadDesk): readonly Route[] {
  return [
    route({
      ...{ method: 'POST', path: '/api/v1/sees', tag, body: look, answer: seen },
      summary: 'whether the head sees this very file',
      handle: async ({ body }) => ({ sees: await uploads.sees(body) }),
    }),
    route({
      ...{ method: 'POST', path: '/api/v1/uploads', tag, body: manifest, bodyLimitBytes: MANIFEST_BYTES },
      answer: uploadOffer,
      summary: 'offers the files of a project; answers which of them are missing',
      handle: async ({ body }) => await uploads.offer(body.files),
    }),
    route({
      ...{ method: 'PUT', path: '/api/v1/uploads/{upload}/{sha256}', tag, params: blobPlace },
      query: blobOffset,
      body: BYTES,
      answer: held,
      bodyLimitBytes: Number.MAX_SAFE_INTEGER,
      summary: 'the bytes of a file (application/octet-stream), from an offset on',
      handle: async ({ params: { upload, sha256 }, query: { offset }, body }) => ({
        heldBytes: await uploads.receive(upload, { sha256, offset }, body),
      }),
    }),
  ];
}
