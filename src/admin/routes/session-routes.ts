import { z } from 'zod';
import type { Guard } from '../guard.ts';
import { type Route, route } from '../route.ts';

const loginBody = z.object({
  token: z.string().min(1).max(1000).describe('the cluster’s, the API’s key, or a viewer’s'),
});
const said = z.object({ ok: z.literal(true) });
const session = z.object({
  ok: z.literal(true),
  mayChange: z.boolean().describe('false: a viewer, or a head that changes nothing by this API'),
});
const tag = 'session';
const path = '/api/v1/session';

/** Logins of browsers; programs send the key with each call. */
export function sessionRoutes(guard: Guard): readonly Route[] {
  return [
    route({
      ...{ method: 'GET', path, tag, answer: session },
      summary: 'whether the caller may ask, and change something',
      handle: ({ request }) => ({ ok: true, mayChange: guard.mayChange(request) }),
    }),
    route({
      ...{ method: 'POST', path, tag, body: loginBody, answer: said },
      summary: 'logs a browser in, by a cookie; from the dashboard’s own pages only',
      handle: ({ body: { token }, request, reply }) => {
        reply.header('set-cookie', guard.logIn(token, request));
        return { ok: true };
      },
    }),
    route({
      ...{ method: 'DELETE', path, tag, answer: said, changes: false },
      summary: 'logs a browser out',
      handle: ({ request, reply }) => {
        reply.header('set-cookie', guard.logOut(request.protocol === 'https'));
        return { ok: true };
      },
    }),
  ];
}
