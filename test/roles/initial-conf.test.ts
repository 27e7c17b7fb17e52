import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Revision } from '../../src/cluster/spec/types.ts';
import { sha256 } from '../../src/lib/hash.ts';
import { confToApply, initialPort, type KnownConfs } from '../../src/roles/initial-conf.ts';
import { makeProject, PACKAGES } from '../config/project-fixture.ts';

const TEXT = '[MODEL SERVE]\nport = 8123\n[algopkg.Echo]\nbackend = EchoBackend\nroute = echo\n';
const MISTAKEN = TEXT.replace('8123', 'eight');

async function confWith(text: string | null): Promise<string> {
  const folder = await makeProject({ ...PACKAGES, 'conf.ini': text ?? '' });
  const conf = join(folder, 'conf.ini');
  if (text === null) await rm(conf);
  return conf;
}

function known(read: Readonly<Record<string, string>>): KnownConfs {
  const revision: Revision = {
    number: 7,
    createdAtMs: 0,
    confPath: '/other/conf.ini',
    confText: '',
    settings: { port: 8456, ingressProcesses: 1, maxBodyBytes: 1, metricsOpen: false, accessLog: false },
    deployments: [],
  };
  return { revision, lastRead: (path) => (read[path] === undefined ? null : sha256(read[path])) };
}

const NOTHING: KnownConfs = { revision: null, lastRead: () => null };

describe('at its first start a head', () => {
  it('applies the file', async () => {
    const path = await confWith(TEXT);
    expect(await confToApply({ path, given: true }, NOTHING)).toEqual({ apply: path, notes: [] });
    expect(await initialPort({ path, given: true }, null)).toBe(8123);
  });

  it('serves nothing where there is no file and none was asked for', async () => {
    const path = await confWith(null);
    const { apply, notes } = await confToApply({ path, given: false }, NOTHING);
    expect(apply).toBeNull();
    expect(notes.join()).toContain('nothing is served until');
    expect(await initialPort({ path, given: false }, null)).toBe(8000);
  });

  it.each([
    ['has mistakes', MISTAKEN],
    ['is not there', null],
  ])('refuses a file that %s', async (_what, text) => {
    const path = await confWith(text);
    await expect(confToApply({ path, given: true }, NOTHING)).rejects.toMatchObject({
      code: 'BAD_USAGE',
      message: expect.stringContaining('nothing was started'),
    });
  });
});

describe('when it starts again a head', () => {
  it('goes on with its revision when the file is as it was applied last', async () => {
    const path = await confWith(TEXT);
    const { apply, notes } = await confToApply({ path, given: true }, known({ [path]: TEXT }));
    expect(apply).toBeNull();
    expect(notes).toEqual([expect.stringContaining('has not changed: revision 7 goes on')]);
    expect(await initialPort({ path, given: true }, known({}).revision)).toBe(8456);
  });

  it('does so also when another file was applied after it', async () => {
    const path = await confWith(TEXT);
    const conf = { path, given: true };
    expect((await confToApply(conf, known({ [path]: TEXT, '/other/conf.ini': '' }))).apply).toBeNull();
  });

  it('applies a file that has changed, or was never applied', async () => {
    const path = await confWith(TEXT);
    for (const before of [{ [path]: `${TEXT}# old` }, {}])
      expect((await confToApply({ path, given: true }, known(before))).apply).toBe(path);
  });

  it('warns of a file with mistakes, and goes on', async () => {
    const path = await confWith(TEXT);
    const before = known({ [path]: TEXT });
    await writeFile(path, MISTAKEN);
    const { apply, notes } = await confToApply({ path, given: true }, before);
    expect(apply).toBeNull();
    expect(notes[0]).toMatch(/^warning: .*port/);
    expect(notes.at(-1)).toBe('revision 7 goes on');
  });

  it.each([true, false])('goes on without the file (asked for: %s)', async (given) => {
    const path = await confWith(null);
    const { apply, notes } = await confToApply({ path, given }, known({ [path]: TEXT }));
    expect(apply).toBeNull();
    expect(notes.join()).toContain('revision 7 goes on');
  });
});
