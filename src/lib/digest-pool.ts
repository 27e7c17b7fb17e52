import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Piscina } from 'piscina';
import type { DigestOutcome, DigestTask } from './digest-worker.ts';
import { packageRoot } from './package-root.ts';

/** Threads end when nothing was hashed for this long. */
const IDLE_MS = 10_000;
/** A disk is kept busy by few; the other cores are the backends'. */
const MAX_THREADS = 4;
/** Files go to a thread together up to this much: passing one over costs as much as hashing 100 kB. */
const BATCH_BYTES = 8 * 1024 ** 2;
const BATCH_FILES = 256;

let pool: Piscina<readonly DigestTask[], readonly DigestOutcome[]> | null = null;

/** Hashes files on threads, so that whoever asks can go on meanwhile; outcomes keep the tasks' order. */
export async function runDigests(
  tasks: readonly (DigestTask & { readonly expectedBytes: number })[],
): Promise<readonly DigestOutcome[]> {
  if (tasks.length === 0) return [];
  const threads = startPool();
  const outcomes = await Promise.all(
    batchesOf(tasks).map((batch) => threads.run(batch, { name: 'digestFiles' })),
  );
  return outcomes.flat();
}

function startPool(): NonNullable<typeof pool> {
  if (pool !== null) return pool;
  const made = new Piscina<readonly DigestTask[], readonly DigestOutcome[]>({
    filename: join(packageRoot(), 'dist', 'lib', 'digest-worker.js'),
    minThreads: 0,
    maxThreads: Math.min(MAX_THREADS, availableParallelism()),
    idleTimeout: IDLE_MS,
  });
  made.on('error', () => {
    pool = null; // the task that it happened to has failed with it; the next one gets new threads
  });
  pool = made;
  return made;
}

function batchesOf(
  tasks: readonly (DigestTask & { readonly expectedBytes: number })[],
): readonly (readonly DigestTask[])[] {
  const batches: DigestTask[][] = [];
  let batch: DigestTask[] = [];
  let bytes = 0;
  for (const { expectedBytes, ...task } of tasks) {
    batch.push(task);
    bytes += expectedBytes;
    if (bytes < BATCH_BYTES && batch.length < BATCH_FILES) continue;
    batches.push(batch);
    batch = [];
    bytes = 0;
  }
  return batch.length === 0 ? batches : [...batches, batch];
}
