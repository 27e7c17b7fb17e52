import { existsSync, readdirSync, utimesSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { buildOnce } from '../../src/agent/environments/build-once.ts';
import { noteUse } from '../../src/agent/environments/uses.ts';
import { listEnvironments } from '../../src/cli/env-list.ts';
import { pruneEnvironments } from '../../src/cli/env-prune.ts';
import { ExitCode } from '../../src/cli/exit.ts';
import { type StatePaths, statePaths } from '../../src/config/paths.ts';
import { DurableRevisions } from '../../src/controller/revisions.ts';
import { pinnedSpec } from '../cluster/builders.ts';
import { tempDir } from '../support/temp-dir.ts';
import { captureOutput } from './capture.ts';

const HOUR_MS = 3_600_000;

/** An environment of a package whose hash is its name, used an hour ago. */
async function built(paths: StatePaths, letter: string, packageName: string): Promise<string> {
  const folder = join(paths.environments, `venv-${letter.repeat(32)}`);
  await buildOnce({
    folder,
    description: 'venv (requirements.txt, Python 3.11.7, uv)',
    build: async (dir) => await writeFile(join(dir, 'built'), 'x'.repeat(5_000)),
    onProgress: () => undefined,
    signal: new AbortController().signal,
  });
  await noteUse(folder, packageName, packageName);
  const then = new Date(Date.now() - HOUR_MS);
  for (const name of readdirSync(join(folder, 'uses'))) utimesSync(join(folder, 'uses', name), then, then);
  return folder;
}

test('what no recorded revision needs is shown first, and removed when told so', async () => {
  const output = captureOutput();
  const paths = statePaths(tempDir());
  const needed = await built(paths, 'a', 'Echo');
  const unused = await built(paths, 'b', 'Gone');
  await new DurableRevisions(paths.revisions).record({
    ...{ number: 1, createdAtMs: 0, confPath: '', confText: '' },
    settings: { port: 8000, maxBodyBytes: 1, ingressProcesses: 1, metricsOpen: false, accessLog: false },
    deployments: [pinnedSpec({ package: { hash: 'Echo', snapshotDir: '/s' } })],
  });
  await listEnvironments(paths, { json: false });
  expect(output.stdout()).toMatch(
    /venv-a{12} +venv \(requirements.txt, Python 3.11.7, uv\) +Echo .* 1 hour ago +ready/,
  );
  expect(await pruneEnvironments(paths, { allUnused: false, yes: true })).toBe(ExitCode.done);
  expect(output.stdout()).toContain('nothing to remove; with --all-unused');
  await pruneEnvironments(paths, { allUnused: true, yes: false });
  expect(output.stdout()).toMatch(/venv-b{12} .* Gone [\s\S]*nothing was removed: add --yes/);
  expect(existsSync(unused)).toBe(true);
  expect(await pruneEnvironments(paths, { allUnused: true, yes: true })).toBe(ExitCode.done);
  expect([existsSync(unused), existsSync(needed)]).toEqual([false, true]);
});
