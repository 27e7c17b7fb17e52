import { expect, test } from 'vitest';
import { renderPlan } from '../../src/cli/apply-view.ts';

const port = { key: 'port', from: '8000', to: '9000' };

test('a plan names every section that changes, that of all nodes first', () => {
  expect(renderPlan({ changes: [], settings: [] })).toBe('Nothing changes.');
  const removed = { deployment: 'Echo', kind: 'removed', effects: [], differences: [] } as const;
  const lines = renderPlan({ changes: [removed], settings: [port] }).split('\n');
  expect(lines).toEqual([
    expect.stringContaining('[MODEL SERVE]'),
    expect.stringContaining('port: 8000 → 9000'),
    expect.stringContaining('Echo'),
  ]);
});
