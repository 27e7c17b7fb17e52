import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openDesk, recorded, section, waiting } from './apply-world.ts';

describe('an apply', () => {
  it('records what changes, and nothing when nothing does', async () => {
    const { desk, conf, head } = await openDesk();
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
    const { desk, conf, head } = await openDesk();
    await recorded(desk, conf);
    const before = head.state.lastRead(conf);
    await writeFile(conf, `# a comment\n${section(1)}`);
    expect(await recorded(desk, conf)).toMatchObject({ outcome: 'unchanged' });
    expect(head.state.lastRead(conf)).not.toBe(before);
  });

  it('tries again what had failed', async () => {
    const { desk, conf, head } = await openDesk();
    await recorded(desk, conf);
    const [wanted] = head.state.rollouts;
    const failure = { revision: 1, message: 'no', traceback: '', atMs: 0 };
    await head.state.update(wanted === undefined ? [] : [{ ...wanted, failure }], []);
    expect(await recorded(desk, conf)).toMatchObject({ revision: 2, changes: [{ kind: 'retried' }] });
    expect(head.state.rollouts).toMatchObject([{ failure: null, wanted: { revision: 2 } }]);
  });

  it('changes nothing for a file with a mistake, or a package that cannot be read', async () => {
    const { desk, conf, folder, head } = await openDesk();
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
    const { desk, conf, head } = await openDesk();
    expect(await desk.plan({ confPath: conf, upload: null }, waiting)).toMatchObject({
      ok: true,
      changes: [{ deployment: 'Echo', kind: 'added' }],
    });
    expect(head.files.revisions.size).toBe(0);
  });

  it('warns of what finds no room', async () => {
    const { desk, conf } = await openDesk();
    await writeFile(conf, `${section(1)}gpu_cost = 1\n`);
    const result = await desk.plan({ confPath: conf, upload: null }, waiting);
    expect(result.warnings).toMatchObject([{ section: 'algopkg.Echo', expected: 'room for 1 replica' }]);
  });

  it('waits for an election, and is refused when there is none', async () => {
    const { desk, conf, world, head, queue } = await openDesk();
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
    const { desk, conf, queue } = await openDesk({ failures: 1 });
    expect(await recorded(desk, conf)).toMatchObject({ revision: 1 });
    await desk.stop();
    await desk.stop();
    expect(queue.isProcessing).toBe(false);
  });
});
