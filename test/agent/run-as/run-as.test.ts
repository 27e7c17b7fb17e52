import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { replicaFiles } from '../../../src/agent/replicas/launch.ts';
import { openStateDir } from '../../../src/agent/run-as/places.ts';
import { findUser } from '../../../src/agent/run-as/user.ts';
import type { ReplicaAssignment } from '../../../src/cluster/replicas/types.ts';
import { statePaths } from '../../../src/config/paths.ts';
import { runCommand } from '../../../src/lib/process/command.ts';
import { findProgram } from '../../../src/lib/process/find-program.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { baseEnv, replicaSet, type TestSet, type Workplace, workplace } from '../harness.ts';

const SOON = { timeout: 20_000, interval: 20 };
/** Programs that every user may run: an interpreter below /root is none. */
const path = '/usr/bin:/bin';
const missing =
  process.getuid?.() !== 0
    ? 'this is not root'
    : ['setpriv', 'getent', 'python3'].find((program) => findProgram(program, path) === null);
const suffix = missing === undefined ? '' : ` (skipped: ${missing})`;
const NOBODY = 65_534;

/** What a process finds out about itself when its class is made, in a file of its own folder. */
const BACKEND = `
import json, os, sys

def attempt(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError as error:
        return type(error).__name__

class algo_backend:
    def __init__(self, model_path):
        state = os.environ['STATE']
        found = {
            'ids': [os.getuid(), os.geteuid(), os.getgid()],
            'groups': os.getgroups(),
            'token': attempt(os.path.join(state, 'token')),
            'assignment': attempt(os.path.join(state, 'assignment.json')),
            'revision': attempt(os.path.join(state, 'revisions', '1.json')),
            'listing': attempt(state),
            'agent': attempt('/proc/%d/environ' % os.getppid()),
            'environment': dict(os.environ),
            'model': attempt(model_path.replace(',', '/')) if model_path else None,
        }
        try:
            os.listdir(state)
            found['listed'] = True
        except PermissionError:
            found['listed'] = False
        try:
            os.setuid(0)
            found['root'] = True
        except PermissionError:
            found['root'] = False
        print(json.dumps(found), flush=True)

    async def __call__(self, request):
        return {}
`;

/** A state directory that others may get to, as /var/lib/modelserve, with secrets in it. */
function openPlace(): Workplace {
  const place = workplace({ THE_NODES: 'database-password' });
  place.prepareOptions.baseEnv = { ...baseEnv(), PATH: path };
  chmodSync(place.paths.root, 0o700);
  mkdirSync(place.paths.revisions, { recursive: true });
  writeFileSync(place.paths.token, 'mst_secret', { mode: 0o600 });
  writeFileSync(place.paths.assignment, '{}', { mode: 0o600 });
  writeFileSync(join(place.paths.revisions, '1.json'), 'secrets of conf.ini');
  return place;
}

function replicaOf(place: Workplace, spec: ReplicaAssignment['spec'] | object): ReplicaAssignment {
  const snapshotDir = join(place.paths.snapshots, 'python');
  mkdirSync(join(snapshotDir, 'algopkg', 'Echo'), { recursive: true });
  writeFileSync(join(snapshotDir, 'algopkg', 'Echo', 'backend.py'), BACKEND);
  mkdirSync(place.paths.views, { recursive: true });
  writeFileSync(join(place.paths.views, 'm.bin'), 'weights');
  const model = { name: 'm.bin', sizeBytes: 7, sha256: 'm' };
  return place.assignment(
    'Echo-1',
    {},
    {
      spec: {
        ...{ language: 'python', backend: 'algo_backend', package: { hash: 'python', snapshotDir } },
        ...{ models: ['m.bin'], modelPins: [model], modelRoot: place.paths.views },
        env: { STATE: place.paths.root, OWN: '${THE_NODES}' },
        runAs: 'nobody',
        ...spec,
      },
    },
  );
}

async function stable(replicas: TestSet): Promise<number> {
  await expect
    .poll(() => replicas.status('Echo-1')?.stable || (replicas.status('Echo-1')?.failure ?? false), SOON)
    .toBe(true);
  return replicas.status('Echo-1')?.pid ?? expect.fail('it has no process');
}

test('of a state directory others pass to what backends read, and to no other folder there is', async () => {
  const root = tempDir();
  const paths = statePaths(root);
  const { token, tokenRing, lock, nodeId, assignment, routing, series } = paths;
  const files = [token, tokenRing, lock, nodeId, assignment, routing, series];
  const folders = Object.values(paths).filter((path) => dirname(path) === root && !files.includes(path));
  for (const folder of folders) mkdirSync(folder, { mode: 0o755 });
  await openStateDir(paths);
  const passed = folders.filter((folder) => (statSync(folder).mode & 0o077) !== 0);
  expect(passed.map((folder) => basename(folder)).sort()).toEqual([
    ...['environments', 'models', 'snapshots', 'stage', 'views'],
  ]);
  for (const folder of [root, ...passed]) expect(statSync(folder).mode & 0o777).toBe(0o711);
});

describe.skipIf(missing !== undefined)(`a replica as another user than root${suffix}`, () => {
  test('is that user for good, reads what it serves, and no secret of the node', async () => {
    const place = openPlace();
    place.prepareOptions.openStateDir = async () => await openStateDir(place.paths);
    const inherited = { AWS_SECRET_ACCESS_KEY: 'the-stores', HTTPS_PROXY: 'http://u:p@proxy' };
    place.prepareOptions.baseEnv = { ...place.prepareOptions.baseEnv, ...inherited };
    const replicas = replicaSet(place);
    replicas.set.apply([replicaOf(place, {})]);
    const pid = await stable(replicas);
    const { log, launchFile, socket } = replicaFiles(place.paths, 'Echo-1', 'Echo');
    const found = JSON.parse(readFileSync(log, 'utf8').match(/^{.*}$/m)?.[0] ?? '');
    expect(found).toMatchObject({
      ids: [NOBODY, NOBODY, NOBODY],
      groups: [NOBODY],
      ...{ token: 'PermissionError', assignment: 'PermissionError', revision: 'PermissionError' },
      ...{ agent: 'PermissionError', listed: false, root: false, model: 'weights' },
    });
    expect(Object.keys(found.environment)).toEqual(expect.not.arrayContaining(Object.keys(inherited)));
    expect(found.environment).toMatchObject({ OWN: 'database-password', USER: 'nobody' });
    expect(statSync(`/proc/${pid}`).uid).toBe(NOBODY);
    expect(readFileSync(`/proc/${pid}/status`, 'utf8')).toMatch(/^NoNewPrivs:\t1$/m);
    expect(statSync(launchFile)).toMatchObject({ uid: NOBODY, mode: 0o100600 });
    expect(statSync(log)).toMatchObject({ uid: 0, mode: 0o100600 });
    await new Promise<void>((resolve, reject) => {
      const link = createConnection(socket, () => resolve(void link.destroy())).on('error', reject);
    });
    expect(await reachedBy('daemon', socket)).toMatch(/Permission/);
    await replicas.set.drainAll();
    expect(statSync(socket, { throwIfNoEntry: false })).toBeUndefined();
  });

  test('is ended and replaced like any other, also by the next agent', async () => {
    const place = openPlace();
    place.prepareOptions.openStateDir = async () => await openStateDir(place.paths);
    const first = replicaSet(place);
    first.set.apply([replicaOf(place, { runAs: 'nobody:daemon' })]);
    const pid = await stable(first);
    expect(readFileSync(`/proc/${pid}/status`, 'utf8')).toMatch(/^Gid:\t1\t1\t1\t1$/m);
    await first.set.leave();
    const second = replicaSet(place);
    await second.set.adopt();
    await expect.poll(() => second.status('Echo-1')?.pid, SOON).toBe(pid);
    process.kill(pid, 'SIGKILL');
    await expect.poll(() => second.status('Echo-1')?.restarts, SOON).toBe(1);
    expect(await stable(second)).not.toBe(pid);
    await second.set.drainAll();
  });

  test.each([
    ['code', '/', '/snapshots/python/algopkg/Echo: ROOT is closed'],
    ['working directory', null, ': it is closed'],
  ])('is refused where the user cannot get to its %s', async (_what, projectDir, message) => {
    const place = openPlace(); // nobody opens the state directory
    const replicas = replicaSet(place);
    replicas.set.apply([replicaOf(place, projectDir === null ? {} : { projectDir })]);
    await expect.poll(() => replicas.status('Echo-1')?.failure?.kind, SOON).toBe('prepare');
    expect(replicas.status('Echo-1')?.failure?.message).toContain(
      `run_as = nobody: that user cannot get to ROOT${message} to others.`.replaceAll(
        'ROOT',
        place.paths.root,
      ),
    );
  });

  test.each([
    ['no-such-user', 'this node has no user "no-such-user"'],
    ['nobody:no-such-group', 'this node has no group "no-such-group"'],
  ])('%s is refused: %s', async (runAs, message) => {
    await expect(findUser(runAs, baseEnv())).rejects.toThrow(`run_as = ${runAs}: ${message}`);
  });

  test('a number needs no account, and is in no group', async () => {
    expect(await findUser('4711', baseEnv())).toMatchObject({ uid: 4711, gid: 4711, groups: 'none' });
    expect(await findUser('daemon', baseEnv())).toMatchObject({ uid: 1, gid: 1, groups: 'of-account' });
  });
});

/** What a third user hears who connects to a socket. */
async function reachedBy(user: string, socket: string): Promise<string> {
  const script = `import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect(${JSON.stringify(socket)})`;
  const args = [`--reuid=${user}`, '--clear-groups', 'python3', '-c', script];
  return (await runCommand('setpriv', args, { env: { PATH: path }, timeoutMs: 20_000 })).output;
}
