// The yardsticks: Node and Python web servers with nothing between them and the handler.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pythonEnvironment } from '../lib/environments.mjs';
import { PROGRAMS } from '../lib/paths.mjs';
import { jsonBody } from './server.mjs';

const BOTH = ['GET', 'POST'];

/** @type {import('./server.mjs').Contestant} */
export const nodeHttp = {
  name: 'node-http',
  what: "Node's own HTTP server, the handler in it: the ceiling",
  methods: BOTH,
  path: '/noop',
  body: jsonBody,
  prepare: async () => ({ versions: { node: process.versions.node } }),
  command: (_prepared, port) => nodeProgram('noop-http.mjs', port),
};

/** @type {import('./server.mjs').Contestant} */
export const fastify = {
  name: 'fastify',
  what: 'bare fastify, the handler in it',
  methods: BOTH,
  path: '/noop',
  body: jsonBody,
  prepare: async () => ({
    versions: { fastify: createRequire(import.meta.url)('fastify/package.json').version },
  }),
  command: (_prepared, port) => nodeProgram('noop-fastify.mjs', port),
};

/** @type {import('./server.mjs').Contestant} */
export const uvicorn = {
  name: 'uvicorn',
  what: 'a bare ASGI handler on uvicorn with uvloop and httptools, one process',
  methods: BOTH,
  path: '/noop',
  body: jsonBody,
  prepare: () => prepared('fastapi-uvloop', ['fastapi', 'uvicorn[standard]']),
  command: (environment, port) => uvicornProgram(environment, 'noop_asgi:app', port),
};

/** @type {import('./server.mjs').Contestant} */
export const fastapi = {
  name: 'fastapi',
  what: 'FastAPI on uvicorn with uvloop and httptools, one process',
  methods: BOTH,
  path: '/noop',
  body: jsonBody,
  prepare: () => prepared('fastapi-uvloop', ['fastapi', 'uvicorn[standard]']),
  command: (environment, port) => uvicornProgram(environment, 'noop_fastapi:app', port),
};

/** @type {import('./server.mjs').Contestant} */
export const fastapiPure = {
  name: 'fastapi-pure',
  what: "FastAPI on uvicorn with asyncio's own loop and h11, one process",
  methods: BOTH,
  path: '/noop',
  body: jsonBody,
  prepare: () => prepared('fastapi', ['fastapi', 'uvicorn']),
  command: (environment, port) => uvicornProgram(environment, 'noop_fastapi:app', port),
};

/** An environment in the shape that contestants hand on. */
export async function prepared(name, requirements) {
  const result = await pythonEnvironment({ name, requirements });
  return 'skipped' in result ? result : result.environment;
}

function nodeProgram(file, port) {
  return { command: process.execPath, args: [join(PROGRAMS, 'node', file), String(port)] };
}

function uvicornProgram(environment, app, port) {
  const args = ['-m', 'uvicorn', app, '--host', '127.0.0.1', '--port', String(port)];
  return {
    command: join(environment.bin, 'python'),
    args: [...args, '--no-access-log', '--log-level', 'warning', '--app-dir', join(PROGRAMS, 'python')],
  };
}
