import { describe, expect, it } from 'vitest';
import type { ReplicaStatus } from '../../../src/cluster/replicas/types.ts';
import { failure, node, reconciled, replica, revised, rollout, starting } from './scene.ts';

const before = revised(1);
const after = revised(2, { hashes: { replace: 'replace-2' } });
const old = replica('a', before);

function judged(said: Partial<ReplicaStatus>) {
  return reconciled([rollout(after, before)], [node('w1', [old, starting('n', after, said)])]);
}

describe('judging a change', () => {
  it.each([
    { name: 'two failed starts', said: { startFailures: 2, failure: failure() }, failed: false },
    { name: 'three failed starts', said: { startFailures: 3, failure: failure() }, failed: true },
    {
      name: 'a start that took too long',
      said: { startFailures: 1, failure: failure({ kind: 'startup-timeout' }) },
      failed: true,
    },
    {
      name: 'a crash within min_ready_s',
      said: { startFailures: 1, failure: failure({ kind: 'early-crash' }) },
      failed: true,
    },
    {
      name: 'an environment that cannot be built',
      said: { prepared: false, admitted: false, failure: failure({ kind: 'prepare' }) },
      failed: true,
    },
    {
      name: 'a failure that it has overcome',
      said: { phase: 'ready', stable: true, startFailures: 0, failure: failure({ kind: 'early-crash' }) },
      failed: false,
    },
    { name: 'one hung start', said: { startFailures: 1, failure: failure({ kind: 'hung' }) }, failed: false },
  ] as const)('$name: failed $failed', ({ said, failed }) => {
    expect(judged(said).state.health === 'DEPLOY_FAILED').toBe(failed);
  });

  it('adds up failed starts of all replicas of the spec', () => {
    const cast = ['n', 'm', 'l'].map((id) => starting(id, after, { startFailures: 1, failure: failure() }));
    expect(reconciled([rollout(after)], [node('w1', cast)]).state.health).toBe('DEPLOY_FAILED');
  });

  it('keeps the last good spec, the traceback, and drains what failed', () => {
    const told = judged({ startFailures: 3, failure: failure({ atMs: 77 }) });
    expect(told.plan.rollouts).toEqual([
      {
        deployment: 'Echo',
        wanted: after,
        lastGood: before,
        failure: { revision: 2, message: 'replica n: ValueError: no', traceback: 'Traceback …', atMs: 77 },
      },
    ]);
    expect([told.start, told.drain]).toEqual([[], ['n']]);
    expect(told.state).toMatchObject({
      health: 'DEPLOY_FAILED',
      settled: false,
      message:
        'revision 2 failed: replica n: ValueError: no; revision 1 is kept instead (1 of 1 ready); correct it and apply again',
    });
  });

  it('goes on with a first spec that answers, though it was superseded before it had proved itself', () => {
    const first = replica('a', before, { stable: false });
    const broken = starting('n', after, { startFailures: 3, failure: failure() });
    const told = reconciled([rollout(after)], [node('w1', [first, broken])]);
    expect([told.start, told.drain]).toEqual([[], ['n']]);
    expect(told.plan.rollouts).toMatchObject([{ wanted: after, lastGood: before, failure: { revision: 2 } }]);
  });

  it('goes on with nothing where no other spec answers', () => {
    const first = starting('a', before);
    const broken = starting('n', after, { startFailures: 3, failure: failure() });
    const told = reconciled([rollout(after)], [node('w1', [first, broken])]);
    expect([told.start, [...told.drain].sort()]).toEqual([[], ['a', 'n']]);
    expect(told.plan.rollouts).toMatchObject([{ lastGood: null, failure: { revision: 2 } }]);
  });

  it('starts the last good spec again where it had to be stopped', () => {
    const broken = starting('n', after, { startFailures: 3, failure: failure() });
    const told = reconciled([rollout(after, before)], [node('w1', [broken])]);
    expect([told.start, told.drain]).toEqual([['r1 on w1'], ['n']]);
  });

  it('keeps a replica of the failed spec that answers until the last good one does', () => {
    const two = revised(2, { replicas: 2, hashes: { replace: 'replace-2' } });
    const answering = replica('n', two, { stable: false });
    const broken = starting('m', two, { startFailures: 1, failure: failure({ kind: 'early-crash' }) });
    const told = reconciled([rollout(two, before)], [node('w1', [answering, broken])]);
    expect([told.start, told.drain]).toEqual([['r1 on w1'], ['m']]);
  });

  it('leaves nothing running when the first deploy fails', () => {
    const broken = starting('n', after, { startFailures: 3, failure: failure() });
    const told = reconciled([rollout(after)], [node('w1', [broken])]);
    expect([told.start, told.drain]).toEqual([[], ['n']]);
    expect(told.state.message).toContain('nothing is served');
  });

  it('never gives up a spec that has been good: its agent starts it again', () => {
    const looping = starting('a', before, { startFailures: 9, failure: failure({ kind: 'crash' }) });
    const told = reconciled([rollout(before, before)], [node('w1', [looping])]);
    expect(told.plan.rollouts).toEqual([]);
    expect(told.state).toMatchObject({
      health: 'UNHEALTHY',
      settled: true,
      message: '0 of 1 ready; replica a is starting (crash-looping): ValueError: no',
    });
  });

  it('does not hold an earlier try of the same spec against a new one', () => {
    const again = { revision: 3, spec: after.spec };
    const earlier = starting('n', after, { startFailures: 3, failure: failure() });
    const told = reconciled([rollout(again, before)], [node('w1', [old, earlier])]);
    expect(told.plan.rollouts).toEqual([]);
    expect(told.update).toEqual(['n to r3']);
  });
});

describe('changing user_config in place', () => {
  const config = revised(2, { hashes: { reconfigure: 'config-2' } });
  const change = rollout(config, before);
  const updated = (said: Partial<ReplicaStatus>) =>
    replica('a', config, { startedWith: 'config-1', ...said });

  it('updates all replicas at once and waits for their answer', () => {
    const two = [replica('a', before), replica('b', before)];
    const pair = rollout(revised(2, { replicas: 2, hashes: { reconfigure: 'config-2' } }), before);
    expect(reconciled([pair], [node('w1', two)]).update).toEqual(['a to r2', 'b to r2']);
    const told = reconciled([change], [node('w1', [updated({})])]);
    expect([told.update, told.plan.rollouts]).toEqual([[], []]);
  });

  it('is good when it is applied', () => {
    const applied = { hash: 'config-2', outcome: 'applied', error: '' } as const;
    const told = reconciled([change], [node('w1', [updated({ reconfigured: applied })])]);
    expect(told.plan.rollouts).toEqual([{ ...change, lastGood: config }]);
  });

  it('replaces where the class has no reconfigure', () => {
    const unsupported = { hash: 'config-2', outcome: 'unsupported', error: '' } as const;
    const told = reconciled([change], [node('w1', [updated({ reconfigured: unsupported })])]);
    expect([told.start, told.drain]).toEqual([['r2 on w1'], []]);
  });

  it('takes a class without reconfigure that was started with the config as it is', () => {
    const unsupported = { hash: 'config-2', outcome: 'unsupported', error: '' } as const;
    const started = updated({ startedWith: 'config-2', reconfigured: unsupported });
    const told = reconciled([change], [node('w1', [started])]);
    expect([told.start, told.plan.rollouts]).toEqual([[], [{ ...change, lastGood: config }]]);
  });

  it.each([
    'Traceback (most recent call last):\n  File "backend.py", line 6, in reconfigure\nValueError: 7\n',
    'ValueError: 7\n    at Backend.reconfigure (backend.ts:6)',
  ])('fails when the class raises, and applies the last good config again in place', (error) => {
    const raised = { hash: 'config-2', outcome: 'failed', error } as const;
    const told = reconciled([change], [node('w1', [updated({ reconfigured: raised })])]);
    expect(told.plan.rollouts[0]?.failure?.message).toBe('replica a: reconfigure failed: ValueError: 7');
    expect([told.start, told.drain, told.update]).toEqual([[], [], ['a to r1']]);
  });
});
