import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { renderPlan, renderProgress } from '../../src/cli/apply-view.ts';
import type { DeploymentProgress } from '../../src/cluster/status/types.ts';

function plain(text: string): string {
  return stripVTControlCharacters(text); // a terminal may be there or not when tests run
}

function progress(over: Partial<DeploymentProgress> = {}): DeploymentProgress {
  return {
    name: 'Echo',
    status: 'UPDATING',
    settled: false,
    failed: false,
    target: 2,
    ready: 1,
    message: '',
    error: null,
    moving: true,
    replicas: [],
    preparing: [],
    ...over,
  };
}

describe('the plan', () => {
  it('says so when there is nothing to do', () => {
    expect(renderPlan({ changes: [], settings: [] })).toBe('Nothing changes.');
  });

  it('names every key with old and new value, and what happens', () => {
    const port = { key: 'port', from: '8000', to: '9000' };
    const change = {
      deployment: 'Echo',
      kind: 'changed',
      effects: ['scale', 'replace'],
      differences: [{ key: 'user_config', from: 'null', to: `"${'x'.repeat(80)}"` }],
    } as const;
    const lines = plain(renderPlan({ changes: [change], settings: [port] })).split('\n');
    expect(lines).toEqual([
      '  ~ changed [MODEL SERVE]: every node follows',
      '      port: 8000 → 9000',
      '  ~ changed Echo: new replicas, then the old ones drain',
      `      user_config: null → "${'x'.repeat(56)}…`,
    ]);
  });

  it('calls none what a section does not give', () => {
    const differences = [
      { key: 'model', from: 'm_v1.json', to: '' },
      { key: 'run_as', from: '', to: 'svc' },
    ];
    const change = { deployment: 'Echo', kind: 'changed', effects: ['replace'], differences } as const;
    const [, ...lines] = plain(renderPlan({ changes: [change], settings: [] })).split('\n');
    expect(lines).toEqual(['      model: m_v1.json → none', '      run_as: none → svc']);
  });

  it.each([
    ['added', [], '  + added Echo'],
    ['removed', [], '  - removed Echo'],
    ['retried', [], '  ~ tried again Echo'],
    ['changed', ['routing'], '  ~ changed Echo: routing only, no process is touched'],
    ['changed', ['routing', 'scale'], '  ~ changed Echo: replicas are started or drained'],
    ['changed', ['scale', 'reconfigure'], '  ~ changed Echo: reconfigured in place, same processes'],
  ] as const)('says of %s %j what happens', (kind, effects, text) => {
    const changes = [{ deployment: 'Echo', kind, effects, differences: [] }];
    expect(plain(renderPlan({ changes, settings: [] }))).toBe(text);
  });
});

describe('a line of progress', () => {
  it.each<[Partial<DeploymentProgress>, string]>([
    [
      { message: 'starting: loading the backend' },
      '  Echo    UPDATING  1/2 ready  starting: loading the backend',
    ],
    [{ status: 'HEALTHY', settled: true, ready: 2 }, '  Echo    HEALTHY   2/2 ready'],
    [{ status: 'GONE', settled: true }, '  Echo    GONE'],
  ])('%j', (over, line) => {
    expect(plain(renderProgress(progress(over), 6))).toBe(line);
  });

  it('is cut short while something is under way, and whole where it says why nothing is', () => {
    const message = 'why '.repeat(100);
    expect(plain(renderProgress(progress({ message }), 4)).length).toBeLessThan(140);
    expect(renderProgress(progress({ message, status: 'PENDING' }), 4)).toContain(message);
  });
});

it('names the environment that new replicas run in', () => {
  const environment = 'venv (requirements.txt, Python 3.11, uv)';
  const changes = [{ deployment: 'Echo', kind: 'added', effects: [], differences: [], environment } as const];
  expect(plain(renderPlan({ changes, settings: [] }))).toBe(
    `  + added Echo\n      environment: ${environment}`,
  );
});
