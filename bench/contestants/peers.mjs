// Other model servers, each as its own documentation starts it, with one worker and access logs off.
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROGRAMS } from '../lib/paths.mjs';
import { freePorts } from '../lib/ports.mjs';
import { prepared } from './bare.mjs';
import { jsonBody } from './server.mjs';

const PYTHON = join(PROGRAMS, 'python');
const POST = ['POST'];

/** @type {import('./server.mjs').Contestant} */
export const rayServe = {
  name: 'ray-serve',
  what: 'Ray Serve: its proxy and one replica that takes 100 requests at once (with its default of 5, ten times slower at c=32)',
  methods: ['GET', 'POST'],
  path: '/noop',
  body: jsonBody,
  prepare: () => prepared('ray-serve', ['ray[serve]']),
  command: ({ bin }, port, folder) => ({
    command: join(bin, 'python'),
    // Its Unix sockets lie deep below this folder, hence the short name: their paths are limited to 107 bytes.
    args: [join(PYTHON, 'noop_ray.py'), String(port), join(folder, 'r')],
    env: { RAY_USAGE_STATS_ENABLED: '0', PATH: `${bin}:${process.env['PATH']}` },
  }),
};

/** @type {import('./server.mjs').Contestant} */
export const litserve = {
  name: 'litserve',
  what: 'LitServe: one API server, one worker',
  methods: POST,
  path: '/predict',
  body: jsonBody,
  prepare: () => prepared('litserve', ['litserve']),
  command: ({ bin }, port) => ({
    command: join(bin, 'python'),
    args: [join(PYTHON, 'noop_litserve.py'), String(port)],
  }),
};

/** @type {import('./server.mjs').Contestant} */
export const bentoml = {
  name: 'bentoml',
  what: 'BentoML: one worker',
  methods: POST,
  path: '/noop',
  body: jsonBody,
  prepare: () => prepared('bentoml', ['bentoml']),
  command: ({ bin }, port, folder) => {
    cpSync(join(PYTHON, 'noop_bentoml.py'), join(folder, 'noop_bentoml.py'));
    return {
      command: join(bin, 'bentoml'),
      args: ['serve', 'noop_bentoml:NoOp', '--host', '127.0.0.1', '--port', String(port)],
      env: {
        BENTOML_DO_NOT_TRACK: 'True',
        BENTOML_HOME: join(folder, 'home'),
        PATH: `${bin}:${process.env['PATH']}`,
      },
    };
  },
};

/** @type {import('./server.mjs').Contestant} */
export const mlserver = {
  name: 'mlserver',
  what: "MLServer, defaults (one worker process); the body in its protocol's envelope",
  methods: POST,
  path: '/v2/models/noop/infer',
  body: openInferenceBody,
  // Its worker asks for an event loop where newer uvloops have none.
  prepare: () => prepared('mlserver', ['mlserver', 'uvloop<0.22']),
  command: async ({ bin }, port, folder) => {
    const [grpcPort, metricsPort] = await freePorts(2);
    cpSync(join(PROGRAMS, 'mlserver'), folder, { recursive: true });
    writeJson(join(folder, 'model-settings.json'), { name: 'noop', implementation: 'noop_mlserver.NoOp' });
    writeJson(join(folder, 'settings.json'), {
      debug: false,
      host: '127.0.0.1',
      http_port: port,
      grpc_port: grpcPort,
      metrics_port: metricsPort,
    });
    return {
      command: join(bin, 'mlserver'),
      args: ['start', '.'],
      env: { PATH: `${bin}:${process.env['PATH']}` },
    };
  },
};

/** @type {import('./server.mjs').Contestant} */
export const mosec = {
  name: 'mosec',
  what: 'mosec: one worker',
  methods: POST,
  path: '/inference',
  body: jsonBody,
  prepare: () => prepared('mosec', ['mosec']),
  command: ({ bin }, port, folder) => ({
    command: join(bin, 'python'),
    args: [
      join(PYTHON, 'noop_mosec.py'),
      ...[
        '--address',
        '127.0.0.1',
        '--port',
        String(port),
        '--path',
        join(folder, 'ipc'),
        '--log-level',
        'warning',
      ],
    ],
    env: { PATH: `${bin}:${process.env['PATH']}` },
  }),
};

function openInferenceBody(sizeBytes) {
  const shape = (text) =>
    JSON.stringify({ inputs: [{ name: 'input', shape: [1], datatype: 'BYTES', data: [text] }] });
  return Buffer.from(shape('x'.repeat(Math.max(0, sizeBytes - shape('').length))));
}

function writeJson(file, value) {
  writeFileSync(file, JSON.stringify(value));
}
