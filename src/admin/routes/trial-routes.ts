import { type Dispatcher, request } from 'undici';
import { z } from 'zod';
import type { StatusDocument } from '../../cluster/status/types.ts';
import { messageOf, ServeError } from '../../lib/errors.ts';
import { type Route, route } from '../route.ts';
import type { AdminBackend, TrialAnswer } from '../types.ts';

const byDeployment = z.object({ deployment: z.string() });
const trialBody = z.object({
  method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']).default('POST'),
  query: z.string().max(8_000).default('').describe('without the question mark'),
  body: z.string().nullable().default(null),
  authorization: z
    .string()
    .max(4_000)
    .nullable()
    .default(null)
    .describe('for a route with API keys: `Bearer KEY`'),
});
type Trial = z.infer<typeof trialBody>;

const trialAnswer = z.object({
  httpStatus: z.number(),
  contentType: z.string(),
  retryAfter: z.string().nullable().describe('its header: seconds, or a date'),
  text: z.string().nullable().describe('its beginning; null: it is no text'),
  isCut: z.boolean().describe('there is more than is given'),
  sizeBytes: z.number().nullable().describe('of all of it; null: it is cut, and has not said how long it is'),
  tookMs: z.number(),
});

/** More is not shown to a person. */
const SHOWN_BYTES = 256 * 1024;
const TIMEOUT_MS = 120_000;

/** A request to a deployment by way of the head: the dashboard's pages may ask nobody else. */
export function trialRoutes(backend: Pick<AdminBackend, 'status'>, dispatcher: Dispatcher): readonly Route[] {
  return [
    route({
      ...{ method: 'POST', path: '/api/v1/try/{deployment}', tag: 'cluster' },
      ...{ params: byDeployment, body: trialBody, answer: trialAnswer },
      summary: 'sends one request to a deployment’s route and gives what it answers',
      handle: async ({ params, body, signal }) => {
        const address = addressOf(await backend.status(), params.deployment);
        return await tried(address, body, { signal, dispatcher });
      },
    }),
  ];
}

/** @throws ServeError DEPLOYMENT_UNKNOWN, TRIAL_FAILED */
function addressOf({ deployments, nodes }: StatusDocument, name: string): string {
  const deployment = deployments.find((one) => one.name === name);
  if (deployment === undefined) {
    throw new ServeError(`there is no deployment ${name}`, { code: 'DEPLOYMENT_UNKNOWN' });
  }
  const alive = nodes.filter((node) => node.alive);
  const node = alive.find(({ role }) => role === 'head') ?? alive[0];
  if (node === undefined) throw new ServeError('no node is alive to ask', { code: 'TRIAL_FAILED' });
  return `${node.http}${deployment.route}`;
}

async function tried(
  address: string,
  trial: Trial,
  { signal, dispatcher }: { readonly signal: AbortSignal; readonly dispatcher: Dispatcher },
): Promise<TrialAnswer> {
  const { method, query, body, authorization } = trial;
  const startedMs = performance.now();
  try {
    const answer = await request(`${address}${query === '' ? '' : `?${query}`}`, {
      ...{ method, body, dispatcher, signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]) },
      headers: {
        ...(body === null ? {} : { 'content-type': 'application/json' }),
        ...(authorization === null ? {} : { authorization }),
      },
    });
    const { bytes, isCut } = await beginningOf(answer.body);
    const contentType = String(answer.headers['content-type'] ?? '');
    const { 'content-length': lengthText, 'retry-after': retryAfter } = answer.headers;
    return {
      ...{ httpStatus: answer.statusCode, contentType, text: textOf(bytes, isCut), isCut },
      retryAfter: retryAfter === undefined ? null : String(retryAfter),
      sizeBytes: isCut ? (lengthText === undefined ? null : Number(lengthText)) : bytes.length,
      tookMs: performance.now() - startedMs,
    };
  } catch (error) {
    const isLate = error instanceof DOMException && error.name === 'TimeoutError';
    const why = isLate ? `this form waits ${TIMEOUT_MS / 1000} s, and no longer` : messageOf(error);
    throw new ServeError(`${address} does not answer: ${why}`, { code: 'TRIAL_FAILED' });
  }
}

async function beginningOf(
  body: AsyncIterable<Buffer>,
): Promise<{ readonly bytes: Buffer; readonly isCut: boolean }> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    sizeBytes += chunk.length;
    if (sizeBytes > SHOWN_BYTES) break;
  }
  return { bytes: Buffer.concat(chunks).subarray(0, SHOWN_BYTES), isCut: sizeBytes > SHOWN_BYTES };
}

/** @returns null where it is not UTF-8, or holds a zero byte */
function textOf(bytes: Buffer, isCut: boolean): string | null {
  try {
    // A cut may go through a character: what is left of it waits for more that never comes.
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: isCut });
    return text.includes('\0') ? null : text;
  } catch {
    return null;
  }
}
