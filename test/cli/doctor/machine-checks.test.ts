import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { machineChecks } from '../../../src/cli/doctor/machine-checks.ts';
import { statePaths } from '../../../src/config/paths.ts';
import { tempDir } from '../../support/temp-dir.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

it.each([
  ['Redis server v=4.0.9 sha=00000000:0', 'bad'],
  ['Redis server v=6.0.16 sha=00000000:0', 'bad'],
  ['Redis server v=6.2.0 sha=00000000:0', 'ok'],
  ['Redis server v=10.0.1 sha=00000000:0', 'ok'],
  ['Valkey server v=7.0.15 sha=00000000:0', 'bad'],
  ['Valkey server v=8.0.1 sha=00000000:0', 'ok'],
  ['a server of another kind', 'ok'],
])('says of %s that it is %s', async (version, state) => {
  const folder = tempDir();
  const program = join(folder, 'redis-server');
  writeFileSync(program, `#!/bin/sh\necho '${version}'\n`);
  chmodSync(program, 0o755);
  vi.stubEnv('PATH', folder);
  const findings = await machineChecks(statePaths(tempDir()));
  expect(findings.find(({ check }) => check === 'store')).toMatchObject({ state });
});
