import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { findInterpreter } from '../../src/agent/environments/python-interpreter.ts';
import { askPython, ENVIRONMENT, heldOut, PROJECT, printSkip, shareOf } from './drive.ts';

interface Entity {
  readonly label: string;
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

const target = { packageName: 'AlgoExample', backend: 'algo_backend', model: 'algoexample_model_v1.json' };
const labelled = (entities: readonly Entity[]) => entities.map(({ label, text }) => [label, text]);

/** Whatever python3 is, the oldest that the project promises, and newer ones. */
const pythons: { readonly version: string; readonly python: string | null }[] = [];
for (const wanted of [null, '3.6', '3.9', '3.13']) {
  const search = { wanted, projectDir: PROJECT, env: ENVIRONMENT };
  const python = await findInterpreter(search).then(
    ({ path }) => path,
    () => null,
  );
  pythons.push({ version: wanted ?? '3', python });
  if (python === null) printSkip(`AlgoExample on Python ${wanted}`, 'there is none on this machine');
}

describe.each(pythons)('AlgoExample on Python $version', ({ python }) => {
  it.skipIf(python === null)('extracts at least nine of ten held-out sentences exactly', async () => {
    const rows = await heldOut<{ readonly text: string; readonly entities: readonly Entity[] }>(
      'algoexample',
    );
    const answers = await askPython<readonly Entity[]>({ ...target, python: python ?? '' }, rows);
    const share = shareOf(rows, (row, index) => isDeepStrictEqual(answers[index]?.result, row.entities));
    expect(share).toBeGreaterThanOrEqual(0.9);
  });
});

describe('AlgoExample', () => {
  const python = 'python3';

  it('says what it found and where', async () => {
    const text = 'Maria Rossi paid 300 euros in Lyon on 3 May.';
    const [answer] = await askPython<readonly Entity[]>({ ...target, python }, [{ text }]);
    expect(answer?.status).toBe(1);
    expect(labelled(answer?.result ?? [])).toEqual([
      ['person', 'Maria Rossi'],
      ['amount', '300 euros'],
      ['place', 'Lyon'],
      ['date', '3 May'],
    ]);
    for (const { start, end, text: found } of answer?.result ?? [])
      expect(text.slice(start, end)).toBe(found);
  });

  it('answers with the labels that user_config asks for', async () => {
    const config = { labels: ['place'] };
    const text = 'Maria Rossi paid 300 euros in Lyon on 3 May.';
    const [answer] = await askPython<readonly Entity[]>({ ...target, python, config }, [{ text }]);
    expect(labelled(answer?.result ?? [])).toEqual([['place', 'Lyon']]);
  });

  it('refuses a user_config with labels it does not know', async () => {
    const config = { labels: ['colour'] };
    await expect(askPython({ ...target, python, config }, [])).rejects.toThrow(/labels: expected some of/);
  });

  it('answers status 0 with what was expected for other parameters, and goes on', async () => {
    const answers = await askPython<readonly Entity[]>({ ...target, python }, [
      {},
      { text: 3 },
      { text: '' },
    ]);
    expect(answers.map((answer) => answer.status)).toEqual([0, 0, 1]);
    expect(answers[0]?.info).toContain('expected {"text": "…"}');
    expect(answers[2]?.result).toEqual([]);
  });

  it('does not start without its model', async () => {
    await expect(askPython({ ...target, python, model: '' }, [])).rejects.toThrow(/expected one model/);
    await expect(askPython({ ...target, python, model: 'gone.json' }, [])).rejects.toThrow(/gone\.json/);
  });
});
