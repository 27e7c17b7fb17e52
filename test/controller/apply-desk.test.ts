import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
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
const waiting = new AbortController().signal;

const section = (replicas: number): string =>
  `[algopkg.Echo]\nbackend = EchoBackend\nmodel = echo_v1.onnx\nreplicas = ${replicas}\nroute = echo\n`;

async function open(options: { readonly failures?: number } = {}) {
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
  return { world, head, desk, queue, conf, folder };
}

async function recorded(desk: ApplyDesk, conf: string): Promise<Recorded> {
  const result = await desk.apply({ confPath: conf, upload: null }, waiting);
  return result.ok ? result.recorded : expect.fail(JSON.stringify(result.mistakes));
}

describe('an apply', () => {
  it('records what changes, and nothing when nothing does', async () => {
    const { desk, conf, head } = await open();
    expect(await recorded(desk, conf)).toMatchObject({
      outcome: 'recorded',
      revision: 1,
      deployments: ['Echo'],
    });
    expect(await recorded(desk, conf)).toMatchObject({
      outcome: 'unchanged',
      revision: 1,
      changes: [],
      deployments: ['Echo'],
    });
    await writeFile(conf, section(3));
    expect(await recorded(desk, conf)).toMatchObject({
      revision: 2,
      changes: [{ deployment: 'Echo', kind: 'changed', effects: ['scale'] }],
    });
    expect([...head.files.revisions.keys()]).toEqual([1, 2]);
  });

  it('remembers a file that changed nothing as read', async () => {
    const { desk, conf, head } = await open();
    await recorded(desk, conf);
    const before = head.state.lastRead(conf);
    await writeFile(conf, `# a comment\n${section(1)}`);
    expect(await recorded(desk, conf)).toMatchObject({ outcome: 'unchanged' });
    expect(head.state.lastRead(conf)).not.toBe(before);
  });

  it('tries again what had failed', async () => {
    const { desk, conf, head } = await open();
    await recorded(desk, conf);
    const [wanted] = head.state.rollouts;
    const failure = { revision: 1, message: 'no', traceback: '', atMs: 0 };
    await head.state.update(wanted === undefined ? [] : [{ ...wanted, failure }], []);
    expect(await recorded(desk, conf)).toMatchObject({ revision: 2, changes: [{ kind: 'retried' }] });
    expect(head.state.rollouts).toMatchObject([{ failure: null, wanted: { revision: 2 } }]);
  });

  it('changes nothing for a file with a mistake, or a package that cannot be read', async () => {
    const { desk, conf, folder, head } = await open();
    await writeFile(conf, section(1).replace('replicas = 1', 'replicas = -1'));
    expect(await desk.apply({ confPath: conf, upload: null }, waiting)).toMatchObject({
      ok: false,
      mistakes: [{ key: 'replicas' }],
    });
    await writeFile(conf, section(1));
    await rm(join(folder, 'Model_ZOO'), { recursive: true });
    expect(await desk.apply({ confPath: conf, upload: null }, waiting)).toMatchObject({ ok: false });
    expect(head.state.revision).toBeNull();
  });

  it('is planned without keeping anything', async () => {
    const { desk, conf, head } = await open();
    expect(await desk.plan({ confPath: conf, upload: null }, waiting)).toMatchObject({
      ok: true,
      changes: [{ deployment: 'Echo', kind: 'added' }],
    });
    expect(head.files.revisions.size).toBe(0);
  });

  it('warns of what finds no room', async () => {
    const { desk, conf } = await open();
    await writeFile(conf, `${section(1)}gpu_cost = 1\n`);
    const result = await desk.plan({ confPath: conf, upload: null }, waiting);
    expect(result.warnings).toMatchObject([{ section: 'algopkg.Echo', expected: 'room for 1 replica' }]);
  });

  it('waits for an election, and is refused when there is none', async () => {
    const { desk, conf, world, head, queue } = await open();
    world.server.change({ lease: { holder: 'other', epoch: 99, endsAtMs: world.nowMs + 3_000 } });
    await world.ticks(2);
    expect(head.leader.leadership).toBeNull();
    const applying = recorded(desk, conf);
    await world.ticks(3);
    expect(await applying).toMatchObject({ revision: 1 });
    world.server.change({ lease: { holder: 'other', epoch: 199, endsAtMs: world.nowMs + 1e9 } });
    await world.ticks(2);
    await expect(desk.apply({ confPath: conf, upload: null }, waiting)).rejects.toMatchObject({
      code: 'NOT_LEADER',
    });
    // From then on it leaves them to the head that leads.
    await expect.poll(() => queue.isProcessing, { timeout: 5_000 }).toBe(false);
    world.server.change({ lease: null });
    await world.ticks(2);
    await expect.poll(() => queue.isProcessing, { timeout: 5_000 }).toBe(true);
  });

  it('takes jobs as soon as the store is there', async () => {
    const { desk, conf, queue } = await open({ failures: 1 });
    expect(await recorded(desk, conf)).toMatchObject({ revision: 1 });
    await desk.stop();
    await desk.stop();
    expect(queue.isProcessing).toBe(false);
  });
});
