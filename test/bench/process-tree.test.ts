import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cpuBetweenUs, cpuOf, memoryOf, processesOf } from '../../bench/lib/process-tree.mjs';
import { endTree, startMarked } from '../../bench/lib/processes.mjs';

/** A child, its child, and a grandchild whose parent goes away, each in a session of its own. */
const PROGRAM = `
const { spawn } = require('node:child_process');
const sleep = ['-e', 'setInterval(() => {}, 1000)'];
spawn(process.execPath, sleep, { stdio: 'ignore' });
spawn('sh', ['-c', '"$0" "$@" & echo orphan', process.execPath, ...sleep], { stdio: ['ignore', 'pipe', 'ignore'], detached: true })
  .once('exit', () => {
    const until = Date.now() + 200;
    while (Date.now() < until);
    console.log('ready');
  });
process.on('SIGTERM', () => process.exit(0));
`;

test('a tree has all its processes, detached and orphaned ones, and ends with them', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'modelserve-tree-test-'));
  const mark = `test-${process.pid}`;
  const child = startMarked(process.execPath, ['-e', PROGRAM], { mark, logFile: join(folder, 'log') });
  const tree = { rootPids: [child.pid ?? 0], mark };
  try {
    await new Promise<void>((resolve) => {
      child.stdout?.on('data', (text) => String(text).includes('ready') && resolve());
    });
    const members = processesOf(tree);
    expect(members.filter(({ name }) => name !== 'sh')).toHaveLength(3);
    expect(
      members.some(({ parent }) => !members.some(({ pid }) => pid === parent) && parent !== process.pid),
    ).toBe(true);
    expect(cpuBetweenUs(new Map(), cpuOf(tree))).toBeGreaterThanOrEqual(150_000);
    expect(memoryOf(tree).rssBytes).toBeGreaterThan(3 * 10e6);
  } finally {
    await endTree(child, tree);
    rmSync(folder, { recursive: true, force: true });
  }
  expect(processesOf(tree)).toEqual([]);
});
