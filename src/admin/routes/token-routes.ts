import { z } from 'zod';
import { rotationPhase } from '../answers/status-answers.ts';
import { type Route, route } from '../route.ts';
import type { TokenDesk } from '../types.ts';

const rotateBody = z.object({
  timeout_s: z
    .number()
    .min(1)
    .max(3_600)
    .default(60)
    .describe('how long live nodes may take to follow a phase before all go back'),
});
const tokenAnswer = z.object({
  cluster: z.string(),
  id: z.string().describe('of the token that the head shows; no secret'),
  file: z.string().describe('where it lies on the head'),
  store: z.enum(['own', 'given']).describe('given: its password is its owner’s, and stays'),
  rotation: z
    .object({
      from: z.string(),
      to: z.string(),
      phase: rotationPhase.nullable().describe('null: it has ended'),
      reason: z.string().nullable().describe('why it goes back, or went'),
      startedAt: z.string(),
      nodes: z.array(z.object({ node: z.string(), done: z.boolean().describe('it has followed the phase') })),
    })
    .nullable()
    .describe('its replacement that is under way, or was the last'),
});

const tag = 'token';

/** The replacement of the cluster's token. The token itself is told nowhere. */
export function tokenRoutes(tokens: TokenDesk): readonly Route[] {
  return [
    route({
      ...{ method: 'GET', path: '/api/v1/token', tag, answer: tokenAnswer },
      summary: 'which token is in use, by its id, and how far its replacement has come',
      handle: async () => await tokens.read(),
    }),
    route({
      ...{ method: 'POST', path: '/api/v1/token/rotate', tag, body: rotateBody, answer: tokenAnswer },
      summary: 'begins to replace the token while everything runs',
      handle: async ({ body: { timeout_s: timeoutS } }) => await tokens.rotate(timeoutS * 1_000),
    }),
    route({
      ...{ method: 'POST', path: '/api/v1/token/cancel', tag, answer: tokenAnswer },
      summary: 'goes back to the old token, as long as no node has dropped it',
      handle: async () => await tokens.cancel(),
    }),
  ];
}
