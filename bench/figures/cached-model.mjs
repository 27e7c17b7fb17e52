// How long a second replica, or a restart, waits for a large model that its node has: until its files can be opened.
import { randomFillSync } from 'node:crypto';
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from '../lib/paths.mjs';
import { judged } from './row.mjs';

const MIB = 1024 ** 2;
const FILES = 8;
const FILE_BYTES = 256 * MIB;
const STEP_BYTES = 4 * MIB;

/** @param {import('./head.mjs').Context} context */
export async function cachedModel({ workspace, rounds, say }) {
  const node = await nodeWithModel(workspace);
  const waits = { again: [], restarted: [] };
  try {
    await node.obtain(node.open()); // the view is made once
    const service = node.open();
    for (let round = 1; round <= rounds; round += 1) {
      waits.again.push(await node.obtain(service));
      waits.restarted.push(await node.obtain(node.open()));
      say(`  round ${round}: ${waits.again.at(-1).toFixed(1)} ms, ${waits.restarted.at(-1).toFixed(1)} ms`);
    }
  } finally {
    await node.stop();
  }
  const note = `${FILES} files of ${FILE_BYTES / MIB} MiB: looked at, shown under their names, and opened`;
  const row = { unit: 'ms', atMost: 50, note };
  return [
    judged({ ...row, what: 'a cached 2 GiB model for a second replica', values: waits.again }),
    judged({ ...row, what: 'a cached 2 GiB model after a restart of the node', values: waits.restarted }),
  ];
}

/** A state directory that keeps a model of 2 GiB, as an apply leaves it. */
async function nodeWithModel(workspace) {
  const [{ ContentService }, { readModels }, { keepModels }, { statePaths }, { silentLog }] =
    await Promise.all(
      [
        'agent/content/content-service.js',
        'models/pins.js',
        'models/keep-models.js',
        'config/paths.js',
        'lib/log.js',
      ].map((path) => import(pathToFileURL(join(ROOT, 'dist', path)).href)),
    );
  const folder = workspace.newFolder();
  const paths = statePaths(join(folder, 'state'));
  const modelRoot = join(folder, 'Model_ZOO');
  writeModel(join(modelRoot, 'large'));
  const identity = { nodeId: 'n', host: { bound: '127.0.0.1', advertised: '127.0.0.1' } };
  const services = [];
  const open = () => {
    const options = { ...identity, paths, key: 'key', tls: null, cache: { limitBytes: null, spareBytes: 0 } };
    const others = { nodes: async () => [], needed: async () => [], log: silentLog };
    services.push(new ContentService(options, others));
    return services.at(-1);
  };
  const service = open();
  const read = await readModels({ modelRoot, models: ['large'], digestsDir: paths.digests });
  await keepModels(
    read.map(({ content }) => content),
    {
      ...{ store: service.store, room: service.cache, areOurs: false },
      signal: new AbortController().signal,
    },
  );
  const spec = {
    modelPins: read.map(({ pin }) => pin),
    ...{ modelRoot: '/nowhere/Model_ZOO', projectDir: '/nowhere' },
  };
  return {
    open,
    obtain: async (contents) => await msUntilOpen(contents, spec),
    stop: async () => void (await Promise.all(services.map((one) => one.stop()))),
  };
}

async function msUntilOpen({ contents }, spec) {
  const signal = new AbortController().signal;
  const beganMs = performance.now();
  const here = await contents.obtainModels(spec, { onProgress: () => undefined, signal });
  const files = Array.from({ length: FILES }, (_, index) =>
    openSync(join(here.modelRoot, 'large', `part-${index}`), 'r'),
  );
  const tookMs = performance.now() - beganMs;
  for (const file of files) closeSync(file);
  return tookMs;
}

function writeModel(folder) {
  mkdirSync(folder, { recursive: true });
  const step = randomFillSync(Buffer.alloc(STEP_BYTES));
  for (let index = 0; index < FILES; index += 1) {
    const file = openSync(join(folder, `part-${index}`), 'w');
    step.writeUInt32LE(index);
    for (let written = 0; written < FILE_BYTES; written += STEP_BYTES) writeSync(file, step);
    closeSync(file);
  }
}
