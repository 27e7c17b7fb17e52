// How long a replica takes to have read all of a model that comes meanwhile, from the apply on, beside a C program that does
// nothing but download as much from the same server with as many connections.
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeProject } from '../contestants/modelserve.mjs';
import { ask } from '../lib/ask.mjs';
import { startNginx } from '../lib/nginx.mjs';
import { CLI, ROOT } from '../lib/paths.mjs';
import { runToEnd } from '../lib/processes.mjs';
import { section, startHead } from './head.mjs';
import { judged } from './row.mjs';

const MIB = 1024 ** 2;
const FILES = 8;
const FILE_MIB = 128;
const SIZE = FILES * FILE_MIB * MIB;
const CHUNK = 8 * MIB;
/** As many as a head has for a streamed model. */
const CONNECTIONS = 16;
const RATE = '8m';
const MEMORY = '/dev/shm';
const STEP_MS = 300_000;
const FIGURE = {
  what: 'a 1 GiB model that is streamed, from the apply to the last byte read by the backend: over its download',
  unit: '%',
  atMost: 10,
};

/** @param {import('./head.mjs').Context} context */
export async function streaming(context) {
  const folder = context.workspace.newFolder(MEMORY);
  const program = join(folder, 'ranged-read');
  const source = join(ROOT, 'bench', 'programs', 'native', 'ranged-read.c');
  const built = await runToEnd('cc', ['-O2', '-pthread', '-o', program, source], { timeoutMs: STEP_MS });
  const library = await runToEnd(process.execPath, [CLI, 'preload'], { timeoutMs: STEP_MS });
  if (built.code !== 0 || library.code !== 0) {
    return [judged({ ...FIGURE, values: [], note: 'no C compiler on the PATH' })];
  }
  const port = await serveBucket(context.workspace, folder);
  if (port === null) return [judged({ ...FIGURE, values: [], note: 'nginx does not start' })];
  const env = { AWS_ACCESS_KEY_ID: 'bench', AWS_SECRET_ACCESS_KEY: 'bench', AWS_REGION: 'us-east-1' };
  const start = { conf: section('idle', { backend: 'NoOp', route: 'idle' }), route: 'idle', env };
  const head = await startHead(context, { ...start, folder: join(folder, 'project') });
  const over = [];
  const best = { download: Number.POSITIVE_INFINITY, streamed: Number.POSITIVE_INFINITY };
  for (let round = 1; round <= context.rounds; round += 1) {
    const one = { download: await download(program, port), streamed: await streamed(head, port, round) };
    context.say(
      `  round ${round}: download ${one.download.toFixed(2)} s, streamed ${one.streamed.toFixed(2)} s`,
    );
    over.push((one.streamed / one.download - 1) * 100);
    for (const name of Object.keys(best)) best[name] = Math.min(best[name], one[name]);
  }
  const note = `${FILES} files, nginx with 8 MB/s for each of ${CONNECTIONS} connections; best ${best.streamed.toFixed(2)} s, the download alone ${best.download.toFixed(2)} s`;
  return [judged({ ...FIGURE, values: over, note })];
}

async function download(program, port) {
  const words = [port, '/all.bin', SIZE, CHUNK, CONNECTIONS, '-'].map(String);
  const { code, output } = await runToEnd(program, words, { timeoutMs: STEP_MS });
  if (code !== 0) throw new Error(`the download: ${output}`);
  return Number(output);
}

/** Applies a section with the model, under a name that no round before had, and asks its backend when it had read all. */
async function streamed(head, port, round) {
  const route = `round-${round}`;
  const keys = { backend: 'ReadAll', model: `s3://http://127.0.0.1:${port}/b${round}/model/`, route };
  const conf = section('model', { ...keys, stream: true, min_ready_s: 0, startup_timeout_s: 60 });
  writeProject(head.folder, { package: 'NoOp', conf });
  const beganMs = Date.now();
  const ended = await runToEnd(process.execPath, [CLI, 'controller'], {
    ...{ cwd: head.folder, env: { MODELSERVE_STATE_DIR: join(head.folder, 'state') }, timeoutMs: STEP_MS },
  });
  if (ended.code !== 0) throw new Error(`modelserve controller: ${ended.output}`);
  const target = { port: head.port, path: `/${route}`, method: 'POST', contentType: 'application/json' };
  const { body } = await ask({ ...target, body: Buffer.from('{}') });
  const { bytes, read_at_ms: readAtMs } = JSON.parse(body.toString());
  if (bytes !== SIZE) throw new Error(`the backend has read ${bytes} of ${SIZE} bytes`);
  return (readAtMs - beganMs) / 1000;
}

/** @returns {Promise<number | null>} the port of a server whose buckets b1, b2, … all hold the same model; null: there is none */
async function serveBucket(workspace, folder) {
  const root = join(folder, 'www');
  mkdirSync(join(root, 'model'), { recursive: true });
  const names = Array.from({ length: FILES }, (_, index) => `model/part-${index}`);
  await fill(join(root, 'all.bin'), FILES * FILE_MIB);
  for (const name of names) await fill(join(root, name), FILE_MIB);
  const contents = names.map(
    (name) => `<Contents><Key>${name}</Key>${detailsOf(join(root, name))}</Contents>`,
  );
  const listing = join(root, 'listing.xml');
  const truncated = '<IsTruncated>false</IsTruncated>';
  writeFileSync(listing, `<ListBucketResult>${truncated}${contents.join('')}</ListBucketResult>`);
  const settings = `limit_rate ${RATE};
location ~ ^/b\\d+/?$ { alias ${listing}; default_type application/xml; }
location ~ ^/b\\d+/(.+)$ { alias ${root}/$1; }`;
  return await startNginx(workspace, { folder, root, look: '/b1/model/part-0', settings });
}

/** Size and tag as nginx tells them. */
function detailsOf(path) {
  const { size, mtimeMs } = statSync(path);
  const tag = `${Math.floor(mtimeMs / 1000).toString(16)}-${size.toString(16)}`;
  return `<Size>${size}</Size><ETag>&quot;${tag}&quot;</ETag>`;
}

async function fill(path, mib) {
  const words = ['if=/dev/urandom', `of=${path}`, 'bs=1M', `count=${mib}`];
  const filled = await runToEnd('dd', words, { timeoutMs: STEP_MS });
  if (filled.code !== 0) throw new Error(filled.output);
}
