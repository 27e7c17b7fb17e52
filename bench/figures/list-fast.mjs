// How fast a folder of a million keys is listed from a store that takes 50 ms a page, and how fast a page is read.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from '../lib/paths.mjs';
import { judged } from './row.mjs';

const KEYS = 1_000_000;
const PAGE_KEYS = 1000;
const LATENCY_MS = 50;
const PARSED_PAGES = 1000;
/** so many pages one after the other tell what all take */
const SEQUENTIAL_PAGES = 100;

/** @param {import('./head.mjs').Context} context */
export async function listFastRows(context) {
  const program = join(ROOT, 'bench', 'programs', 'node', 'slow-bucket.mjs');
  const words = [program, ...[KEYS, PAGE_KEYS, LATENCY_MS].map(String)];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  context.workspace.own({ stop: async () => void child.kill() });
  const port = await new Promise((resolve) => child.stdout.once('data', (text) => resolve(Number(text))));
  const { source, listFast, exchange } = await openBucket(port);
  const [speeds, parsed] = [{ 16: [], 32: [] }, []];
  for (let round = 1; round <= context.rounds; round += 1) {
    const sequentialMs = (await timed(() => firstPages(source))) * (KEYS / PAGE_KEYS / SEQUENTIAL_PAGES);
    for (const workers of [16, 32]) {
      const ms = await timed(() => listAll(source, listFast, workers));
      context.say(
        `  round ${round}: ${workers} workers ${(ms / 1000).toFixed(1)} s, one ${(sequentialMs / 1000).toFixed(1)} s`,
      );
      speeds[workers].push(sequentialMs / ms);
    }
    parsed.push(await objectsPerCpuSecond(port));
  }
  await exchange.close();
  const what = 'listing 1,000,000 keys, 50 ms a page';
  const note = `a tree of folders; one after the other judged by ${SEQUENTIAL_PAGES} pages`;
  return [
    judged({ what: `${what}: 16 workers against one`, unit: '×', atLeast: 8, values: speeds[16], note }),
    judged({ what: `${what}: 32 workers against one`, unit: '×', atLeast: 12, values: speeds[32], note }),
    judged({
      ...{ what: 'reading pages of a listing, for a second of CPU', unit: 'objects/s', atLeast: 1_000_000 },
      values: parsed,
    }),
  ];
}

async function openBucket(port) {
  const models = join(ROOT, 'dist', 'models');
  const { Exchange } = await import(join(models, 'sources', 'exchange.js'));
  const { openSource } = await import(join(models, 'sources', 'open-source.js'));
  const { listFast } = await import(join(models, 'listing', 'list-fast.js'));
  const uri = { scheme: 's3', bucket: 'b', endpoint: `http://127.0.0.1:${port}`, key: '', query: '' };
  const nobody = { HOME: '/nonexistent', AWS_EC2_METADATA_DISABLED: 'true' };
  const exchange = new Exchange(nobody);
  return {
    listFast,
    exchange,
    source: await openSource(uri, nobody, exchange),
  };
}

async function firstPages(source) {
  let pages = 0;
  for await (const _page of source.list('', new AbortController().signal)) {
    pages += 1;
    if (pages === SEQUENTIAL_PAGES) return;
  }
}

async function listAll(source, listFast, workers) {
  let count = 0;
  const { signal } = new AbortController();
  await listFast(source, '', { workers, signal }, (files) => {
    count += files.length;
  });
  if (count !== KEYS) throw new Error(`${count} of ${KEYS} keys`);
}

async function objectsPerCpuSecond(port) {
  const { parseBucketList } = await import(join(ROOT, 'dist', 'models', 'sources', 'list-xml.js'));
  const page = await (await fetch(`http://127.0.0.1:${port}/b?list-type=2`)).text();
  const before = process.cpuUsage();
  let objects = 0;
  for (let index = 0; index < PARSED_PAGES; index += 1)
    objects += parseBucketList(page, 'NextContinuationToken').files.length;
  const { user, system } = process.cpuUsage(before);
  return (objects / (user + system)) * 1e6;
}

async function timed(work) {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}
