import { expect, onTestFinished, test } from 'vitest';
import { GpuInventory, type GpuOptions } from '../../../src/agent/gpus/inventory.ts';
import type { Gpu } from '../../../src/cluster/placement/types.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { fakeDriver } from './fake-driver.ts';

const FIRST = '0, GPU-aaaa-1, NVIDIA H200, 143771';
const SECOND = '1, GPU-bbbb-2, NVIDIA H200, 143771';

function inventory(path: string, over: Partial<GpuOptions> = {}): { gpus: GpuInventory; changes: Gpu[][] } {
  const changes: Gpu[][] = [];
  const gpus = new GpuInventory(
    {
      nodeId: 'n1',
      declared: null,
      visibleDevices: null,
      env: { PATH: `${path}:/usr/bin:/bin` },
      probeTimeoutMs: 2_000,
      intervalMs: 600_000,
      ...over,
    },
    { log: silentLog, onChange: (list) => changes.push([...list]) },
  );
  onTestFinished(() => gpus.stop());
  return { gpus, changes };
}

const usable = (gpus: readonly Gpu[]): (string | null)[] =>
  gpus.map((gpu) => (gpu.usable ? 'ok' : gpu.reason));

test('finds the GPUs of the driver', async () => {
  const driver = fakeDriver(`echo '${FIRST}'; echo '${SECOND}'`);
  const { gpus } = inventory(driver.path);
  await gpus.start();
  expect(gpus.gpus).toEqual([
    {
      index: 0,
      uuid: 'GPU-aaaa-1',
      name: 'NVIDIA H200',
      memoryBytes: 143771 * 1024 ** 2,
      virtual: false,
      usable: true,
      reason: null,
    },
    expect.objectContaining({ index: 1, uuid: 'GPU-bbbb-2' }),
  ]);
});

test('a machine without nvidia-smi has none', async () => {
  const { gpus, changes } = inventory(tempDir(), { env: { PATH: tempDir() } });
  await gpus.start();
  expect(gpus.gpus).toEqual([]);
  expect(changes).toEqual([]);
});

test('a lost card is unusable with the driver’s words, the other stays, and it recovers', async () => {
  const driver = fakeDriver(`echo '${FIRST}'; echo '${SECOND}'`);
  const { gpus, changes } = inventory(driver.path);
  await gpus.start();
  driver.becomes(
    `echo '${FIRST}'; echo 'Unable to determine the device handle for GPU 0000:41:00.0: GPU is lost.'; exit 15`,
  );
  await gpus.refresh();
  expect(usable(gpus.gpus)).toEqual(['ok', expect.stringMatching(/does not list it.*GPU is lost/)]);
  driver.becomes(`echo '${FIRST}'; echo '1, GPU-bbbb-2, NVIDIA H200, [Unknown Error]'`);
  await gpus.refresh();
  expect(usable(gpus.gpus)).toEqual(['ok', expect.stringContaining('Unknown Error')]);
  driver.becomes(`echo '${FIRST}'; echo '${SECOND}'`);
  await gpus.refresh();
  expect(usable(gpus.gpus)).toEqual(['ok', 'ok']);
  expect(changes).toHaveLength(4);
});

test('a driver that hangs makes known GPUs unusable, is asked by one process only, and recovers', async () => {
  const driver = fakeDriver(`echo '${FIRST}'`);
  const { gpus } = inventory(driver.path, { probeTimeoutMs: 300 });
  driver.becomes(`echo '${FIRST}'`);
  await expect.poll(() => gpus.refresh().then(() => gpus.gpus.length), { timeout: 10_000 }).toBe(1);
  expect(gpus.uses.size).toBe(1);
  driver.becomes('exec sleep 600');
  await Promise.all([gpus.refresh(), gpus.refresh()]);
  expect(usable(gpus.gpus)).toEqual([expect.stringContaining('did not answer within 0.3 s')]);
  expect(gpus.uses.size).toBe(0);
  driver.becomes(`echo '${FIRST}'`);
  await expect.poll(() => gpus.refresh().then(() => usable(gpus.gpus)), { timeout: 10_000 }).toEqual(['ok']);
});

test.each([
  ['garbage', 'echo "hello, world, this, is"', 'does not list it'],
  ['a failing driver', 'echo "NVIDIA-SMI has failed"; exit 9', 'code 9 and said: NVIDIA-SMI has failed'],
  ['silence', 'exit 0', 'does not list it any more'],
])('%s never empties the list', async (_what, script, reason) => {
  const driver = fakeDriver(`echo '${FIRST}'`);
  const { gpus } = inventory(driver.path);
  await gpus.start();
  driver.becomes(script);
  await gpus.refresh();
  expect(usable(gpus.gpus)).toEqual([expect.stringContaining(reason)]);
});

test.each([
  [null, [0, 1]],
  ['', []],
  ['-1', []],
  ['1', [1]],
  ['1,0', [0, 1]],
  ['0,7,1', [0]],
  ['GPU-bbbb', [1]],
  ['GPU-bbbb-2,GPU-aaaa-1', [0, 1]],
  ['GPU-', []],
])('CUDA_VISIBLE_DEVICES %j leaves %j', async (visibleDevices, indexes) => {
  const driver = fakeDriver(`echo '${FIRST}'; echo '${SECOND}'`);
  const { gpus } = inventory(driver.path, { visibleDevices });
  await gpus.start();
  expect(gpus.gpus.map((gpu) => gpu.index)).toEqual(indexes);
});

test('declared GPUs are virtual and need no driver', async () => {
  const { gpus } = inventory(tempDir(), { declared: 2, visibleDevices: '3' });
  await gpus.start();
  expect(gpus.gpus.map(({ index, uuid, virtual }) => ({ index, uuid, virtual }))).toEqual([
    { index: 0, uuid: 'virtual-n1-0', virtual: true },
    { index: 1, uuid: 'virtual-n1-1', virtual: true },
  ]);
  const listed = inventory(tempDir(), { declared: 1, visibleDevices: '3' });
  expect(listed.gpus.gpus.map((gpu) => gpu.index)).toEqual([3]);
});
