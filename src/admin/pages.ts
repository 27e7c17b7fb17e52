import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance, FastifyReply } from 'fastify';

/** Where the build puts the dashboard: beside the compiled server. */
const FOLDER = fileURLToPath(new URL('../dashboard/', import.meta.url));

/** Nothing from elsewhere, no script in a page, no frame around it. Styles: the chart sets sizes in `style` attributes. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** The dashboard's files, which hold nothing secret: what they show comes from the API, after a login. */
export function addPages(app: FastifyInstance): void {
  app.addHook('onSend', async (_request, reply) => protect(reply));
  if (!existsSync(FOLDER)) {
    app.get('/', (_request, reply) =>
      reply.type('text/plain').send('The dashboard is not built here: run `node scripts/setup.mjs`.\n'),
    );
    return;
  }
  app.register(fastifyStatic, {
    root: FOLDER,
    preCompressed: true,
    cacheControl: false,
    setHeaders: (reply, path) => {
      // Names of assets hold their hash; the page that names them is asked for each time.
      const isAsset = path.includes('/assets/');
      reply.header('cache-control', isAsset ? 'public, max-age=31536000, immutable' : 'no-cache');
    },
  });
}

function protect(reply: FastifyReply): void {
  reply.header('content-security-policy', POLICY);
  reply.header('x-content-type-options', 'nosniff');
  reply.header('referrer-policy', 'no-referrer');
  reply.header('cross-origin-opener-policy', 'same-origin');
  reply.header('cross-origin-resource-policy', 'same-origin');
}
