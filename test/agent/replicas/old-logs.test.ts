import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { pruneReplicaLogs } from '../../../src/agent/replicas/old-logs.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** A log that was written last at `minute`. */
function log(folder: string, name: string, minute: number): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, name), 'output');
  utimesSync(join(folder, name), minute * 60, minute * 60);
}

test('keeps what is here and the last ten of what is gone, per deployment, rotated files included', async () => {
  const folder = tempDir();
  const echo = join(folder, 'Echo');
  for (let minute = 1; minute <= 12; minute += 1) log(echo, `Echo-${minute}.log`, minute);
  log(echo, 'Echo-1.log.1', 0);
  log(echo, 'Echo-here.log', 0);
  log(echo, 'notes.txt', 0);
  log(join(folder, 'Faces'), 'Faces-1.log', 0);
  expect([...(await pruneReplicaLogs(folder, (id) => id === 'Echo-here'))].sort()).toEqual([
    'Echo-1',
    'Echo-2',
  ]);
  const kept = Array.from({ length: 10 }, (_, index) => `Echo-${index + 3}.log`);
  expect(readdirSync(echo).sort()).toEqual([...kept, 'Echo-here.log', 'notes.txt'].sort());
  expect(readdirSync(join(folder, 'Faces'))).toEqual(['Faces-1.log']);
});

test('finds nothing to do where no replica has run yet', async () => {
  expect(await pruneReplicaLogs(join(tempDir(), 'none'), () => false)).toEqual([]);
});
