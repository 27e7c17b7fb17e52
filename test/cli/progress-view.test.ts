import { expect, test } from 'vitest';
import { progressView } from '../../src/cli/progress-view.ts';
import type { DeploymentProgress, PreparationProgress, Progress } from '../../src/cluster/status/types.ts';
import { captureOutput } from './capture.ts';

function progress(
  preparing: readonly PreparationProgress[],
  over: Partial<DeploymentProgress> = {},
): Progress {
  const one: DeploymentProgress = {
    ...{ name: 'Echo', status: 'UPDATING', settled: false, failed: false, moving: true },
    ...{ target: 2, ready: 0, message: 'preparing: Collecting numpy', error: null, replicas: [], preparing },
    ...over,
  };
  return { revision: 1, supersededBy: null, done: false, deployments: [one], waitingFor: [] };
}

const building = (line: string, forMs: number): PreparationProgress => ({ node: 'n1', line, forMs });
// biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control characters
const plain = (text: string): string => text.replaceAll(/\u001b\[\d+m/g, '');

test('without a terminal each line that a node says is printed once', () => {
  const output = captureOutput();
  const show = progressView({ outcome: 'recorded' }, null);
  show(progress([building('Collecting numpy', 1_000)]));
  show(progress([building('Collecting numpy', 2_000)]));
  show(progress([building('Installing', 65_000)]));
  show(progress([], { status: 'HEALTHY', settled: true, ready: 2, message: '' }));
  expect(plain(output.stdout()).split('\n')).toEqual([
    '  Echo  UPDATING  0/2 ready  preparing on 1 node',
    '  Echo  n1  1 s  Collecting numpy',
    '  Echo  n1  1 min 5 s  Installing',
    '  Echo  HEALTHY   2/2 ready',
    '',
  ]);
});

test('on a terminal the lines of nodes are drawn over, and gone when they are done', () => {
  captureOutput();
  const written: string[] = [];
  const terminal = { columns: 40, write: (text: string) => void written.push(plain(text)) };
  const show = progressView({ outcome: 'recorded' }, terminal);
  show(progress([building(`Collecting ${'x'.repeat(99)}`, 1_000)]));
  show(progress([building('Installing', 2_000), { ...building('Collecting', 0), node: 'n2' }]));
  show(progress([]));
  expect(written[0]?.length).toBeLessThanOrEqual(40);
  expect(written.slice(1)).toEqual([
    '\u001b[1A\u001b[J',
    '  Echo  n1  2 s  Installing\n',
    '  Echo  n2  0 s  Collecting\n',
    '\u001b[2A\u001b[J',
  ]);
});
