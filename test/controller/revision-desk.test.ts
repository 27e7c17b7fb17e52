import { readFile, rm, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { RevisionDesk } from '../../src/controller/revision-desk.ts';
import { openDesk, recorded, section, waiting } from './apply-world.ts';

/** Two revisions of one deployment: with one replica, then with three. */
async function openRevisions() {
  const { head, desk, conf, contents } = await openDesk();
  await recorded(desk, conf);
  await writeFile(conf, section(3));
  await recorded(desk, conf);
  const { state, files } = head;
  const revisions = new RevisionDesk(
    { confPath: conf, uploadedDir: '/uploaded' },
    {
      ...{ state, desk, contents, listings: { read: async () => null } },
      revisions: {
        numbers: async () => [...files.revisions.keys()],
        read: async (number) => files.revisions.get(number) ?? null,
      },
    },
  );
  return { revisions, head, conf };
}

const edited = (text: string, base: number | null = null) =>
  ({ base, change: { kind: 'edited', text } }) as const;
const backTo = (of: number, base: number | null = null) =>
  ({ base, change: { kind: 'rollback', of } }) as const;

describe('revisions', () => {
  it('are listed newest first, read, and compared', async () => {
    const { revisions, conf } = await openRevisions();
    expect(await revisions.list()).toMatchObject([
      { number: 2, isNewest: true, confPath: conf, origin: { kind: 'file' }, deployments: ['Echo'] },
      { number: 1, isNewest: false },
    ]);
    expect(await revisions.read(1)).toMatchObject({ number: 1, confText: section(1) });
    expect(await revisions.diff(2, 1)).toMatchObject({
      ...{ from: 2, to: 1, settings: [] },
      changes: [
        { kind: 'changed', effects: ['scale'], differences: [{ key: 'replicas', from: '3', to: '1' }] },
      ],
    });
    await expect(revisions.read(7)).rejects.toMatchObject({ code: 'REVISION_UNKNOWN' });
    await expect(revisions.diff(1, 9)).rejects.toThrow(
      "there is no revision 9 on the head's disk: kept are 1 to 2",
    );
  });

  it('come back as new ones, which say of which they are, and leave conf.ini alone', async () => {
    const { revisions, conf } = await openRevisions();
    expect(await revisions.plan(backTo(1), waiting)).toMatchObject({
      ok: true,
      changes: [{ effects: ['scale'] }],
    });
    expect((await revisions.list()).length).toBe(2);
    const result = await revisions.apply(backTo(1, 2), waiting);
    expect(result).toMatchObject({ ok: true, recorded: { outcome: 'recorded', revision: 3 } });
    expect(result.ok && result.warnings).toMatchObject([
      { file: conf, hint: expect.stringContaining('left as it is') },
    ]);
    expect(await revisions.read(3)).toMatchObject({
      origin: { kind: 'rollback', of: 1 },
      confText: section(1),
    });
    expect(await readFile(conf, 'utf8')).toBe(section(3));
  });

  it('cannot come back without their code, which is said before anything is done', async () => {
    const { revisions, head } = await openRevisions();
    const [spec] = head.files.revisions.get(1)?.deployments ?? [];
    await rm(spec?.package.snapshotDir ?? '', { recursive: true });
    await expect(revisions.apply(backTo(1), waiting)).rejects.toMatchObject({
      code: 'REVISION_INCOMPLETE',
      message: expect.stringContaining('the code of Echo'),
    });
    expect((await revisions.list()).length).toBe(2);
  });
});

describe('an edited text', () => {
  it('becomes a revision, and conf.ini where that said what was in force', async () => {
    const { revisions, conf } = await openRevisions();
    expect(await revisions.apply(edited(section(2), 2), waiting)).toMatchObject({ ok: true, warnings: [] });
    expect(await revisions.read(3)).toMatchObject({ origin: { kind: 'edited' }, confText: section(2) });
    expect(await readFile(conf, 'utf8')).toBe(section(2));
  });

  it('leaves a conf.ini alone that somebody has changed since, and says so', async () => {
    const { revisions, conf } = await openRevisions();
    const theirs = `# mine\n${section(3)}`;
    await writeFile(conf, theirs);
    const result = await revisions.apply(edited(section(2)), waiting);
    expect(result.ok && result.warnings).toMatchObject([{ file: conf }]);
    expect(await readFile(conf, 'utf8')).toBe(theirs);
  });

  it('is refused where another revision is the newest by now, or it has mistakes', async () => {
    const { revisions, conf } = await openRevisions();
    for (const edit of [edited(section(2), 1), backTo(1, 1)])
      await expect(revisions.apply(edit, waiting)).rejects.toMatchObject({ code: 'REVISION_MOVED' });
    expect(await revisions.apply(edited(section(-1)), waiting)).toMatchObject({ ok: false });
    expect([(await revisions.list()).length, await readFile(conf, 'utf8')]).toEqual([2, section(3)]);
  });

  it('is checked, with where each mistake stands', async () => {
    const { revisions } = await openRevisions();
    expect(await revisions.validate(section(4))).toEqual({ ok: true, findings: [] });
    const { ok, findings } = await revisions.validate(section(1).replace('replicas = 1', 'replicas = many'));
    expect(ok).toBe(false);
    expect(findings).toMatchObject([{ severity: 'mistake', line: 4, column: 12, endColumn: 16 }]);
  });

  it('cannot be one of a project that is elsewhere', async () => {
    const { revisions, head } = await openRevisions();
    const newest = head.state.revision;
    const moved = { ...newest, number: 3, confPath: '/not/here/conf.ini' } as NonNullable<typeof newest>;
    await head.state.adopt(moved, head.state.rollouts);
    await expect(revisions.validate('')).rejects.toMatchObject({ code: 'CONF_ELSEWHERE' });
  });
});
