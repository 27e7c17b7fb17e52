// The no-op handler on bare fastify, and an echo of bytes. Argument: the port.
import fastify from 'fastify';

const MAX_BODY_BYTES = 256 * 1024 * 1024;

const app = fastify({ bodyLimit: MAX_BODY_BYTES });
app.addHttpMethod('GET', { hasBody: true });
app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) =>
  done(null, body),
);
app.route({ method: ['GET', 'POST'], url: '/noop', handler: async () => ({ status: 1 }) });
app.post('/echo', async (request, reply) => reply.type('application/octet-stream').send(request.body));
await app.listen({ port: Number(process.argv[2]), host: '127.0.0.1' });
process.once('SIGTERM', () => process.exit(0));
