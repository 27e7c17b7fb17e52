import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { replicaFiles } from '../../../src/agent/replicas/launch.ts';
import { replicaSet, workplace } from '../harness.ts';

const SOON = { timeout: 10_000, interval: 10 };
const SECRET = 's3cret-of-the-node';

/** A replica whose behaviour, journal and configuration stand on the node alone. */
function secretive() {
  const variables: Record<string, string> = { THRESHOLD: '0.5' };
  const place = workplace(variables);
  const file = join(place.paths.root, 'key');
  writeFileSync(file, `${SECRET}\n`);
  variables['FAKE_JSON'] = JSON.stringify({ journal: place.journal });
  const spec = (userConfig: string, hash: string, env = '${FAKE_JSON}') =>
    place.assignment(
      'Echo-1',
      {},
      { spec: { env: { FAKE: env }, userConfig: { key: userConfig }, hashes: { reconfigure: hash } } },
    );
  return { place, spec, file, replicas: replicaSet(place) };
}

test('variables and configuration of a replica come from its node, and stand in its launch file alone', async () => {
  const { place, spec, file, replicas } = secretive();
  replicas.set.apply([spec(`<\${file:${file}}>`, 'config-1')]);
  await expect.poll(() => replicas.status('Echo-1')?.stable, SOON).toBe(true);
  expect(place.events()).toEqual(expect.arrayContaining(['import-check', 'ready'])); // it found its journal
  const { launchFile } = replicaFiles(place.paths, 'Echo-1', 'Echo');
  expect(JSON.parse(readFileSync(launchFile, 'utf8'))).toMatchObject({ user_config: { key: `<${SECRET}>` } });
  expect(statSync(launchFile).mode & 0o777).toBe(0o600);
  const records = readdirSync(place.paths.processes).map((name) =>
    readFileSync(join(place.paths.processes, name), 'utf8'),
  );
  expect(records.join()).not.toContain(SECRET);
  expect(JSON.stringify(replicas.status('Echo-1'))).not.toContain(SECRET);

  replicas.set.apply([spec('${THRESHOLD}', 'config-2')]);
  await expect.poll(() => replicas.status('Echo-1')?.reconfigured?.hash, SOON).toBe('config-2');
  expect(place.events()).toContain('control {"op":"reconfigure","config":{"key":"0.5"}}');

  replicas.set.apply([spec('${NONE}', 'config-3')]);
  await expect.poll(() => replicas.status('Echo-1')?.reconfigured?.hash, SOON).toBe('config-3');
  expect(replicas.status('Echo-1')?.reconfigured).toEqual({
    hash: 'config-3',
    outcome: 'failed',
    error: expect.stringContaining('user_config: the variable NONE is not set on node n1'),
  });
});

test.each([
  [
    'a variable',
    '${FAKE_JSON}',
    '${NONE}',
    '[algopkg.Echo] user_config: the variable NONE is not set on node n1',
  ],
  ['a file', '${file:/no/such}', 'x', '[algopkg.Echo] env.FAKE: the file /no/such cannot be used on node n1'],
])('a replica is not prepared without %s that it needs', async (_what, env, config, message) => {
  const { place, spec, replicas } = secretive();
  replicas.set.apply([spec(config, 'config-1', env)]);
  await expect.poll(() => replicas.status('Echo-1')?.failure?.kind, SOON).toBe('prepare');
  expect(replicas.status('Echo-1')?.failure?.message).toContain(message);
  expect(place.events()).toEqual([]); // not even looked at
});

test('a replica that is started again gets what its node has by then', async () => {
  const { place, spec, file, replicas } = secretive();
  replicas.set.apply([spec(`\${file:${file}}`, 'config-1')]);
  await expect.poll(() => replicas.status('Echo-1')?.stable, SOON).toBe(true);
  const pid = replicas.status('Echo-1')?.pid ?? expect.fail('it has no process');
  rmSync(file);
  writeFileSync(file, 'rotated');
  process.kill(pid, 'SIGKILL');
  await expect.poll(() => replicas.status('Echo-1')?.pid, SOON).not.toBe(pid);
  await expect.poll(() => replicas.status('Echo-1')?.stable, SOON).toBe(true);
  const { launchFile } = replicaFiles(place.paths, 'Echo-1', 'Echo');
  expect(JSON.parse(readFileSync(launchFile, 'utf8'))).toMatchObject({ user_config: { key: 'rotated' } });
});
