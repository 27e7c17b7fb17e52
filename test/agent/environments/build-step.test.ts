import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runStep } from '../../../src/agent/environments/build-step.ts';
import { tempDir } from '../../support/temp-dir.ts';

it('leaves no temporary files of what is interrupted, of what ends, and of who was killed at it', async () => {
  const folder = tempDir();
  const cancel = new AbortController();
  const step = (script: string) => ({
    ...{ title: '$ pip', command: 'sh', args: ['-c', script], cwd: folder, failure: 'pip cannot install' },
    env: { PATH: process.env['PATH'] ?? '', TMPDIR: folder },
  });
  const lines: string[] = [];
  const interrupted = runStep(
    step('mktemp -d; sleep 600'),
    (line) => {
      lines.push(line);
      if (line.startsWith(folder)) cancel.abort(new Error('nobody waits'));
    },
    cancel.signal,
  );
  await expect(interrupted).rejects.toThrow('nobody waits');
  expect(lines.at(-1)).toContain(join(folder, 'modelserve-build-'));
  mkdirSync(join(folder, 'modelserve-build-1-0-killed', 'pip-install'), { recursive: true });
  await runStep(step('mktemp'), () => undefined, new AbortController().signal);
  expect(readdirSync(folder)).toEqual([]);
});
