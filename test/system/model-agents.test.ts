import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestHead } from './support/cluster.ts';
import { Project } from './support/project.ts';
import { until } from './support/until.ts';

const BACKEND = `
import os
class Backend:
    def __init__(self, model_path):
        zoo, name = model_path.split(',')
        with open(os.path.join(zoo, name)) as file:
            self.text = file.read()
    async def __call__(self, request):
        return {'text': self.text}
`;

/** Gives replicas a copy in capitals, and writes down what it hears. */
const AGENT = `
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
export const modelAction = ({ action, model, location, workDir, parameters }) => {
  appendFileSync(parameters.journal, action + '\\n');
  if (action !== 'load') return;
  writeFileSync(join(workDir, model[0]), readFileSync(join(location, model[0]), 'utf8').toUpperCase());
  return { location: workDir };
};
`;

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

describe('agents of a deployment', () => {
  const project = new Project();
  const journal = join(project.dir, 'journal');
  const heard = (): readonly string[] =>
    existsSync(journal) ? readFileSync(journal, 'utf8').trim().split('\n') : [];
  let head: TestHead;

  function section(checksum: string, more: Record<string, string> = {}): void {
    project.sections({
      Words: {
        ...{ backend: 'Backend', route: 'words', min_ready_s: 0.2, model: 'words.txt' },
        'agent.checksum.MD5:words.txt': checksum,
        ...more,
      },
    });
  }

  beforeAll(async () => {
    project.package('Words', BACKEND);
    project.write('algopkg/Words/hooks/capitals.mjs', AGENT);
    project.write('Model_ZOO/words.txt', 'cat');
    section(md5('cat'), { 'agent.capitals': 'hooks/capitals.mjs', 'agent.capitals.journal': journal });
    head = await TestHead.start({ conf: project.conf });
  });

  afterAll(async () => {
    await head?.dispose();
    project.remove();
  });

  const answer = async (): Promise<unknown> =>
    await (await fetch(head.url('words'), { method: 'POST', body: '{}' })).json();

  it('give the class what they have made of its models, and hear when it is loaded', async () => {
    await until('an answer', async () => (await answer()) !== null, 60_000);
    expect(await answer()).toEqual({ text: 'CAT' });
    await until('both actions', () => heard().length >= 2);
    expect(heard()).toEqual(['load', 'load_complete']);
  });

  it('fail an apply whose models have another checksum, and the old replica serves on', async () => {
    section(md5('dog'));
    const { code, stderr } = await head.apply();
    expect(code).toBe(1);
    expect(stderr).toContain(
      `agent checksum: words.txt has another MD5 than conf.ini says: expected ${md5('dog')}, found ${md5('cat')}`,
    );
    expect(await answer()).toEqual({ text: 'CAT' });
  });

  it('hear when a replica is drained, and when it is gone', async () => {
    section(md5('cat'));
    const { code, stderr } = await head.apply();
    expect([code, stderr]).toEqual([0, '']);
    expect(await answer()).toEqual({ text: 'cat' });
    await until('the end of the old replica', () => heard().includes('unload_complete'));
    expect(heard()).toEqual(['load', 'load_complete', 'unload', 'unload_complete']);
  });
});
