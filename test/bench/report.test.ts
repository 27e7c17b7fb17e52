import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { pageOf } from '../../bench/report/page.mjs';
import { plotOf } from '../../bench/report/plot.mjs';
import { groupResults } from '../../bench/results.mjs';

const ROOT = join(import.meta.dirname, '..', '..');
const read = (...path: string[]) => readFileSync(join(ROOT, ...path), 'utf8');
const latest = () => JSON.parse(read('bench', 'results', 'latest.json'));

test('the page on benchmarks is what the committed results say', () => {
  expect(read('docs', 'benchmarks.md')).toBe(pageOf(latest(), groupResults()));
});

test('the plot is drawn from the committed results', () => {
  expect(read('bench', 'results', 'latest.svg')).toBe(plotOf(latest()));
});

test('the committed results are those of their date', () => {
  const results = latest();
  expect(JSON.parse(read('bench', 'results', `${results.date.slice(0, 10)}.json`))).toEqual(results);
});

test('the page names who was skipped, what failed and what falls short', () => {
  const results = latest();
  const page = pageOf({
    ...results,
    contestants: [{ name: 'absent', what: 'a server', skipped: 'pip install absent failed' }],
    cells: [
      {
        method: 'POST',
        connections: 1,
        bodyBytes: 30,
        samples: [{ contestant: 'broken', round: 1, failed: 'status 413' }],
      },
    ],
    targets: [
      {
        what: 'speed',
        unit: '×',
        value: 0.5,
        min: 0.4,
        max: 0.6,
        comparison: 'at least',
        target: 2,
        verdict: 'short',
      },
      {
        what: 'size',
        unit: 'MB',
        value: null,
        comparison: 'at most',
        target: 3,
        verdict: 'not measured',
        note: 'no /proc',
      },
    ],
  });
  expect(page).toContain('skipped: pip install absent failed');
  expect(page).toMatch(/\| broken +\| +failed: status 413/);
  expect(page).toMatch(/\| speed +\| short +\| +0\.50 \(0\.40–0\.60\) × \| +≥ 2\.00 × \|/);
  expect(page).toContain('* size: no /proc');
  expect(page).toContain('**0 of 1 targets that were measured are reached.**');
});
