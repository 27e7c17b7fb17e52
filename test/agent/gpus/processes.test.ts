import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { GpuProcesses } from '../../../src/agent/gpus/processes.ts';
import { replicaGpuSamples } from '../../../src/agent/gpus/replica-uses.ts';
import type { Gpu } from '../../../src/cluster/placement/types.ts';
import type { ReplicaStatus } from '../../../src/cluster/replicas/types.ts';
import { killSession } from '../../../src/lib/process/signals.ts';
import { fakeDriver } from './fake-driver.ts';

const MIB = 1024 ** 2;
const CARDS = ['GPU-aaaa-1', 'GPU-bbbb-2'].map(
  (uuid, index): Gpu => ({
    ...{ index, uuid, name: 'NVIDIA H200', memoryBytes: 143_771 * MIB },
    ...{ virtual: false, usable: true, reason: null },
  }),
);
const NO_PROCESS = 2 ** 22 + 1; // beyond the most that a kernel gives

/** A process with a child, in a session of its own, as a replica has them. */
async function session(): Promise<readonly [leader: number, child: number]> {
  const leader = spawn('sh', ['-c', 'sleep 600 & echo $!; wait'], { detached: true });
  const pid = leader.pid ?? 0;
  onTestFinished(async () => void (await killSession(pid)));
  const [line] = (await once(leader.stdout, 'data')) as [Buffer];
  return [pid, Number(line.toString())];
}

function replica(pid: number | null, milli: number, over: Partial<ReplicaStatus> = {}): ReplicaStatus {
  const slices = milli === 0 ? [] : [{ uuid: 'GPU-aaaa-1', index: 0, milli }];
  const assignment = { replicaId: 'Echo-1', deployment: 'Echo', slices };
  return { assignment, pid, admitted: true, ...over } as ReplicaStatus;
}

/** What a driver's words come to, for replicas that have a share of the first card. */
async function samplesOf(script: string, ...replicas: readonly ReplicaStatus[]) {
  const driver = fakeDriver(script);
  const processes = new GpuProcesses({ env: { PATH: `${driver.path}:/usr/bin:/bin` }, timeoutMs: 2_000 });
  await processes.refresh(CARDS);
  return { samples: replicaGpuSamples(CARDS, processes.list, replicas), processes, driver };
}

function table(...rows: readonly string[]): string {
  const header = [
    '# gpu        pid  type     sm    mem    enc    dec    jpg    ofa     fb   ccpm    command',
  ];
  const units = ['# Idx          #   C/G      %      %      %      %      %      %     MB     MB    name'];
  return `cat <<'END'\n${[...header, ...units, ...rows].join('\n')}\nEND`;
}

const sampleOf = (over: object): object => ({
  ...{ replicaId: 'Echo-1', deployment: 'Echo', index: 0, uuid: 'GPU-aaaa-1', share: 0.5 },
  ...{ memoryUsedBytes: null, busy: null, ...over },
});

test('sums all processes of a replica’s session, and counts nobody else’s', async () => {
  const [leader, child] = await session();
  const rows = [
    `    0     ${leader}     C     40     10      -      -      -      -   1024      0    python`,
    `    0     ${child}   M+C     15      2      -      -      -      -    512      0    worker of it`,
    `    0     ${process.pid}     G      7      2      -      -      -      -   4096      0    somebody`,
    '    1          -     -      -      -      -      -      -      -      -      -    -',
  ];
  const { samples } = await samplesOf(table(...rows), replica(leader, 500));
  expect(samples).toEqual([sampleOf({ memoryUsedBytes: 1_536 * MIB, busy: 0.55 })]);
});

test('a GPU that a replica uses without a share of it is told', async () => {
  const [leader] = await session();
  const row = `    1     ${leader}     C    100     10      -      -    300    python`;
  const old = `echo '# gpu  pid  type  sm  mem  enc  dec  fb  command'; echo '${row}'`;
  const { samples } = await samplesOf(old, replica(leader, 0));
  expect(samples).toEqual([
    sampleOf({ index: 1, uuid: 'GPU-bbbb-2', share: 0, memoryUsedBytes: 300 * MIB, busy: 1 }),
  ]);
});

test.each([
  ['idle, by a driver that tells nothing then', (pid: number) => `0 ${pid} C - - - - - - 300 0 python`, 300],
  ['unknown memory', (pid: number) => `0 ${pid} C - - - - - - - - python`, null],
  ['a process of another namespace', () => `0 ${NO_PROCESS} C 50 1 - - - - 300 0 python`, null],
  ['no process at all', () => '0 - - - - - - - - - - -', null],
])('%s is nothing, and never 0', async (_what, row, mib) => {
  const [leader] = await session();
  const { samples } = await samplesOf(table(row(leader)), replica(leader, 500));
  expect(samples).toEqual([sampleOf({ memoryUsedBytes: mib === null ? null : mib * MIB })]);
});

test('one process of unknown memory makes that of its replica unknown', async () => {
  const [leader, child] = await session();
  const rows = [`0 ${leader} C 10 - - - - - 300 0 a`, `0 ${child} C - - - - - - - - b`];
  const { samples } = await samplesOf(table(...rows), replica(leader, 500));
  expect(samples).toEqual([sampleOf({ busy: 0.1 })]);
});

test('a card that cannot tell how busy processes are tells their memory', async () => {
  const [leader, child] = await session();
  const script = [
    'if [ "$1" = pmon ]; then echo "Not supported on the device(s)"; exit 3; fi',
    `echo 'GPU-aaaa-1, ${leader}, 700'; echo 'GPU-bbbb-2, ${child}, [N/A]'; echo 'GPU-aaaa-1, [Not Found], 9'`,
  ].join('\n');
  const { processes } = await samplesOf(script);
  expect(processes.list).toEqual([]);
  await processes.refresh(CARDS);
  expect(replicaGpuSamples(CARDS, processes.list, [replica(leader, 500)])).toEqual([
    sampleOf({ memoryUsedBytes: 700 * MIB }),
    sampleOf({ index: 1, uuid: 'GPU-bbbb-2', share: 0 }),
  ]);
});

test('what hangs is not waited for, is asked once only, and leaves nothing known', async () => {
  const [leader] = await session();
  const { processes, driver } = await samplesOf(table(`0 ${leader} C 10 - - - - - 300 0 a`));
  expect(processes.list).toHaveLength(1);
  const journal = join(driver.path, 'asked');
  driver.becomes(`echo "$*" >> ${journal}; exec sleep 600`);
  const hanging = new GpuProcesses({ env: { PATH: `${driver.path}:/usr/bin:/bin` }, timeoutMs: 200 });
  await Promise.all([hanging.refresh(CARDS), hanging.refresh(CARDS)]);
  expect(hanging.list).toEqual([]);
  expect(readFileSync(journal, 'utf8')).toBe('pmon -c 1 -s um\n');
});

test('where there is no usable GPU nobody is asked', async () => {
  const { processes, driver } = await samplesOf(table());
  const journal = join(driver.path, 'asked');
  appendFileSync(join(driver.path, 'nvidia-smi'), `\necho "$*" >> ${journal}\n`);
  for (const cards of [[], CARDS.map((card) => ({ ...card, usable: false }))]) await processes.refresh(cards);
  expect(existsSync(journal)).toBe(false);
  await processes.refresh(CARDS);
  expect(existsSync(journal)).toBe(true);
});

test('a replica that is not admitted has no share, and one without a process uses nothing', () => {
  const pending = replica(null, 500, { admitted: false });
  expect(replicaGpuSamples(CARDS, [], [pending])).toEqual([]);
  expect(replicaGpuSamples(CARDS, [], [replica(null, 500)])).toEqual([sampleOf({})]);
  const declared = CARDS.map((card) => ({ ...card, virtual: true }));
  expect(replicaGpuSamples(declared, [], [replica(null, 500)])).toEqual([]);
});
