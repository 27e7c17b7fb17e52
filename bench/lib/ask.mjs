// Single requests: is a server there, and does it answer what it should?
import { request as httpRequest } from 'node:http';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';

const ANSWER_TIMEOUT_MS = 30_000;
const POLL_MS = 20;

/**
 * @typedef {object} Target where a contestant takes one kind of request
 * @property {number} port on loopback
 * @property {string} path
 * @property {string} method
 * @property {string} contentType
 * @property {Buffer} body
 */

/**
 * Sends one request on a connection of its own.
 * @param {Target} target
 * @returns {Promise<{status: number, headers: import('node:http').IncomingHttpHeaders, body: Buffer,
 *   firstByteMs: number, totalMs: number}>} times from the call
 */
export function ask(target) {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const request = httpRequest(
      {
        host: '127.0.0.1',
        port: target.port,
        path: target.path,
        method: target.method,
        headers: { 'content-type': target.contentType, 'content-length': target.body.length },
        timeout: ANSWER_TIMEOUT_MS,
        agent: false,
      },
      (response) => {
        let firstByteMs = 0;
        const parts = [];
        response.on('data', (part) => {
          if (parts.length === 0) firstByteMs = performance.now() - startedAt;
          parts.push(part);
        });
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(parts),
            firstByteMs,
            totalMs: performance.now() - startedAt,
          }),
        );
      },
    );
    request.once('timeout', () =>
      request.destroy(new Error(`no answer within ${ANSWER_TIMEOUT_MS / 1000} s`)),
    );
    request.once('error', reject);
    request.end(target.body);
  });
}

/**
 * Waits for the first good answer.
 * @param {{withinMs: number, isDead: () => boolean}} limits isDead: the server's process has ended
 */
export async function askUntilReady(target, limits) {
  const deadline = performance.now() + limits.withinMs;
  let last = 'nothing was asked';
  while (performance.now() < deadline) {
    if (limits.isDead()) throw new Error('its process ended before it answered');
    try {
      const { status, body } = await ask(target);
      if (status === 200) return;
      last = `status ${status} ${body.toString('utf8', 0, 200)}`;
    } catch (error) {
      last = error.message;
    }
    await delay(POLL_MS);
  }
  throw new Error(`not ready within ${limits.withinMs / 1000} s: ${last}`);
}
