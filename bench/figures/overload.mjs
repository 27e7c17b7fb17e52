// 400 requests at once on connections that stand, 200 ms each, 100 may wait: how long until the last of the excess has its
// refusal? From before the first is sent: what the sender takes for all of them counts as well.
import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';
import { section, startHead } from './head.mjs';
import { judged, short } from './row.mjs';

const REQUESTS = 400;
const QUEUED = 100;
const ONGOING = 16;
const ANSWER_TIMEOUT_MS = 30_000;
const TIMES = 3;
const HEALTH_REQUEST = 'GET /-/healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n';
const SLOW_REQUEST =
  'POST /slow HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}';

/** @param {import('./head.mjs').Context} context */
export async function overload(context) {
  const keys = {
    backend: 'Slow',
    route: 'slow',
    max_ongoing_requests: ONGOING,
    concurrency: ONGOING,
    max_queued_requests: QUEUED,
  };
  const head = await startHead(context, { conf: section('slow', keys), route: 'slow' });
  const lastRefusalMs = [];
  const notes = [];
  for (let round = 1; round <= Math.max(TIMES, context.rounds); round += 1) {
    const answers = await burst(head.port);
    const refused = answers.filter(({ status }) => status === 429);
    const withRetryAfter = refused.filter(({ hasRetryAfter }) => hasRetryAfter).length;
    notes.push(
      `${answers.filter(({ status }) => status === 200).length} answered, ${refused.length} refused`,
    );
    const isAsAnnounced = refused.length === REQUESTS - ONGOING - QUEUED && withRetryAfter === refused.length;
    lastRefusalMs.push(
      isAsAnnounced ? Math.max(...refused.map(({ afterMs }) => afterMs)) : Number.POSITIVE_INFINITY,
    );
  }
  const what = '400 requests at once of 200 ms, queue bound 100: the last refusal, with Retry-After';
  const note = `rounds: ${notes.join('; ')}`;
  const isCounted = lastRefusalMs.every(Number.isFinite);
  const row = judged({ what, unit: 'ms', atMost: 50, values: isCounted ? lastRefusalMs : [], note });
  return [isCounted ? row : short(row, `${note}; expected 284 refused with Retry-After`)];
}

async function burst(port) {
  const sockets = await Promise.all(Array.from({ length: REQUESTS }, () => connected(port)));
  // The kernel connects before the server accepts: answered once, a connection stands on both sides.
  await Promise.all(sockets.map((socket) => answerOf(socket, performance.now(), HEALTH_REQUEST)));
  const startedAt = performance.now();
  try {
    return await Promise.all(sockets.map((socket) => answerOf(socket, startedAt, SLOW_REQUEST)));
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

function connected(port) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}

function answerOf(socket, startedAt, request) {
  return new Promise((resolve, reject) => {
    socket.setTimeout(ANSWER_TIMEOUT_MS, () =>
      reject(new Error('a request of the burst was never answered')),
    );
    socket.once('error', reject);
    socket.once('data', (part) => {
      const head = part.toString('latin1').split('\r\n\r\n')[0] ?? '';
      const status = Number(head.slice(9, 12));
      resolve({
        status,
        hasRetryAfter: /\r\nretry-after:/i.test(head),
        afterMs: performance.now() - startedAt,
      });
    });
    socket.write(request);
  });
}
