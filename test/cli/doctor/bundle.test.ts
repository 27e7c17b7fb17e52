import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writeBundle } from '../../../src/cli/doctor/bundle.ts';
import { statePaths } from '../../../src/config/paths.ts';
import { tempDir } from '../../support/temp-dir.ts';

const SECRET = 'mst_0123456789abcdefghijklmnop';

it('holds logs and revisions without secrets, and nothing that user code printed', async () => {
  const root = tempDir();
  const paths = statePaths(join(root, 'state'));
  for (const folder of [paths.replicaLogs, paths.revisions, paths.processes])
    mkdirSync(folder, { recursive: true });
  writeFileSync(join(paths.logs, 'node.log'), `{"msg":"joined with ${SECRET}"}\n`);
  writeFileSync(join(paths.replicaLogs, 'Echo-1.log'), 'a body of a request\n');
  for (const number of [1, 2, 3, 4])
    writeFileSync(join(paths.revisions, `${number}.json`), `{"conf":"password = ${SECRET}"}`);
  writeFileSync(paths.token, SECRET);
  const file = join(root, 'report.tar.gz');
  const files = await writeBundle(file, paths, [{ check: 'Node.js', state: 'ok', found: 'v20', advice: '' }]);
  const listed = execFileSync('tar', ['-tzf', file], { encoding: 'utf8' });
  expect(files).toEqual([
    'doctor.json',
    'logs/node.log',
    'revisions/2.json',
    'revisions/3.json',
    'revisions/4.json',
    'status.json',
  ]);
  for (const one of files) expect(listed).toContain(`report/${one}\n`);
  const all = execFileSync('tar', ['-xzOf', file], { encoding: 'utf8' });
  expect(all).toContain('joined with [hidden]');
  expect(all).not.toContain(SECRET);
  expect(all).not.toContain('a body of a request');
});
