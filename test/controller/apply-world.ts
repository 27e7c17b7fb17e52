import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { ApplyDesk, type ApplyJob, type Recorded } from '../../src/controller/apply-desk.ts';
import { Uploads } from '../../src/controller/uploads.ts';
import { ContentStore } from '../../src/lib/content/content-store.ts';
import { diskRoom } from '../../src/lib/content/room.ts';
import { silentLog } from '../../src/lib/log.ts';
import type { ApplyQueue } from '../../src/store/types.ts';
import { makeProject, PACKAGES } from '../config/project-fixture.ts';
import { unreachable } from '../support/memory-store.ts';
import { tempDir } from '../support/temp-dir.ts';
import { ControlWorld, type Head } from './world.ts';

/** A queue whose jobs are done at once by whoever processes them. */
class DirectQueue implements ApplyQueue<ApplyJob, Recorded> {
  failures = 0;
  #handler: ((job: ApplyJob) => Promise<Recorded>) | null = null;

  get isProcessing(): boolean {
    return this.#handler !== null;
  }

  async submit(job: ApplyJob): Promise<Recorded> {
    if (this.#handler === null) throw new Error('nobody processes');
    return await this.#handler(structuredClone(job));
  }

  async process(handler: (job: ApplyJob) => Promise<Recorded>): Promise<() => Promise<void>> {
    if (this.failures > 0) {
      this.failures -= 1;
      throw unreachable('process');
    }
    this.#handler = handler;
    return async () => {
      this.#handler = null;
    };
  }

  async close(): Promise<void> {
    this.#handler = null;
  }
}

/** A caller who does not go away. */
export const waiting: AbortSignal = new AbortController().signal;

/** conf.ini of one deployment. */
export const section = (replicas: number): string =>
  `[algopkg.Echo]\nbackend = EchoBackend\nmodel = echo_v1.onnx\nreplicas = ${replicas}\nroute = echo\n`;

/** A desk of a head that leads a cluster of one node, with a project of its own. */
export async function openDesk(options: { readonly failures?: number } = {}) {
  const folder = await makeProject({ ...PACKAGES, 'conf.ini': section(1) });
  const world = new ControlWorld();
  const head: Head = await world.addHead('head');
  world.join('head', { gpus: 0 });
  await world.ticks(3);
  const queue = new DirectQueue();
  queue.failures = options.failures ?? 0;
  const { leader, state } = head;
  const snapshotsDir = tempDir();
  const contents = new ContentStore({
    recordsDir: join(snapshotsDir, 'contents'),
    filesDir: join(snapshotsDir, 'models'),
  });
  const desk = new ApplyDesk(
    {
      snapshotsDir,
      digestsDir: join(snapshotsDir, 'digests'),
      contents,
      room: diskRoom(0),
      uploadedDir: '/uploaded',
      remote: { running: [], obtain: () => Promise.reject(new Error('no URI is named here')) },
      queueTimeoutMs: 1_000,
      electionTimeoutMs: 500,
    },
    { queue, leader, state, uploads: new Uploads(join(snapshotsDir, 'uploads'), contents), log: silentLog },
  );
  desk.start();
  onTestFinished(async () => await desk.stop());
  await expect.poll(() => queue.isProcessing, { timeout: 5_000 }).toBe(true);
  const conf = join(folder, 'conf.ini');
  return { world, head, desk, queue, conf, folder, contents };
}

export async function recorded(desk: ApplyDesk, conf: string): Promise<Recorded> {
  const result = await desk.apply({ confPath: conf, upload: null }, waiting);
  return result.ok ? result.recorded : expect.fail(JSON.stringify(result.mistakes));
}
