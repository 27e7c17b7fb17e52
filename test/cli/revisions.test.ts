import { expect, test } from 'vitest';
import type { ApplyAnswer, Mistaken, PlanAnswer } from '../../src/admin/types.ts';
import type { AdminClient } from '../../src/cli/admin-client.ts';
import { ExitCode } from '../../src/cli/exit.ts';
import { diffCommand, revisionsCommand, rollbackCommand } from '../../src/cli/revisions.ts';
import type { RevisionSummary } from '../../src/cluster/status/types.ts';
import { captureOutput } from './capture.ts';

const scaled = {
  ...{ deployment: 'Echo', kind: 'changed' as const, effects: ['scale' as const] },
  differences: [{ key: 'replicas', from: '3', to: '1' }],
};
const plan: PlanAnswer = { ok: true, changes: [scaled], settings: [], warnings: [] };
const applied: ApplyAnswer = { ...plan, outcome: 'recorded', revision: 4, deployments: ['Echo'] };
const mistaken: Mistaken = { ok: false, mistakes: ['conf.ini:3: expected a, found b'], warnings: [] };

function summary(number: number, over: Partial<RevisionSummary> = {}): RevisionSummary {
  return {
    ...{ number, createdAt: '2026-01-02T03:04:05.678Z', confPath: '/p/conf.ini', origin: { kind: 'file' } },
    ...{ deployments: ['Echo'], inForce: [], isNewest: false },
    ...over,
  };
}

/** A client that answers so, and notes what it is asked. */
function client(answers: Readonly<Partial<Record<keyof AdminClient, unknown>>>) {
  const asked: unknown[][] = [];
  const calls = Object.entries(answers).map(([name, answer]) => [
    name,
    async (...given: unknown[]) => {
      asked.push([name, ...given]);
      return answer;
    },
  ]);
  return { asked, admin: Object.fromEntries(calls) as AdminClient };
}

const follow = { json: false, wait: false, timeoutMs: 1_000, dryRun: false };

test('revisions are shown with how they came about and what of them is in force', async () => {
  const output = captureOutput();
  const revisions = [
    summary(3, { isNewest: true, origin: { kind: 'rollback', of: 1 }, inForce: ['Echo'] }),
    summary(2, { origin: { kind: 'edited' } }),
    summary(1),
  ];
  const { admin } = client({ revisions: { revisions } });
  expect(await revisionsCommand(admin, false)).toBe(ExitCode.done);
  expect(output.stdout()).toMatch(/3 \(newest\) +2026-01-02 03:04:05 +back to 1 +1 +Echo/);
  expect(output.stdout()).toMatch(/2 +2026-01-02 03:04:05 +\/p\/conf\.ini, edited +1 +–/);
  await revisionsCommand(admin, true);
  expect(output.stdout()).toContain('"isNewest": true');
  await revisionsCommand(client({ revisions: { revisions: [] } }).admin, false);
  expect(output.stdout()).toContain('nothing was applied yet');
});

test('a difference is to the newest revision where no other is named', async () => {
  const output = captureOutput();
  const { admin, asked } = client({ diff: { from: 2, to: 5, ...plan }, status: { revision: 5 } });
  expect(await diffCommand(admin, { from: 2, to: null }, false)).toBe(ExitCode.done);
  expect(await diffCommand(admin, { from: 2, to: 3 }, true)).toBe(ExitCode.done);
  expect(asked).toEqual([['status'], ['diff', 2, 5], ['diff', 2, 3]]);
  expect(output.stdout()).toContain('replicas: 3 → 1');
  expect(output.stdout()).toContain('"from": 2');
});

test('a rollback is planned or applied, and what is wrong with it ends with code 2', async () => {
  const output = captureOutput();
  const { admin, asked } = client({ planRollback: plan, rollback: applied });
  expect(await rollbackCommand(admin, 1, { ...follow, dryRun: true })).toBe(ExitCode.done);
  expect(await rollbackCommand(admin, 1, follow)).toBe(ExitCode.done);
  expect(asked).toEqual([
    ['planRollback', 1],
    ['rollback', 1],
  ]);
  expect(output.stdout()).toContain('Revision 4:');
  const refusing = client({ planRollback: mistaken, rollback: mistaken }).admin;
  for (const dryRun of [true, false])
    expect(await rollbackCommand(refusing, 1, { ...follow, dryRun })).toBe(ExitCode.usage);
  expect(output.stderr().match(/expected a, found b/g)?.length).toBe(2);
});
