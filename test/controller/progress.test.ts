import { describe, expect, it } from 'vitest';
import type { DeploymentState } from '../../src/cluster/rollout/types.ts';
import { type ProgressFacts, progressOf } from '../../src/controller/progress.ts';
import { replica, revised, rollout, starting, waiting } from '../cluster/rollout/scene.ts';

const state: DeploymentState = {
  deployment: 'Echo',
  health: 'HEALTHY',
  message: '',
  target: 1,
  ready: 1,
  settled: true,
  unplaced: [],
};
const serving = { nodeId: 'n1', entry: { nodeId: 'n1', incarnation: 'i', routingVersion: 4 } };

/** Revision 2 is in force everywhere. */
const done: ProgressFacts = {
  asked: { revision: 2, deployments: ['Echo'] },
  newestRevision: 2,
  rollouts: [rollout(revised(2), revised(2))],
  states: [state],
  reported: [],
  nodeOf: new Map(),
  nowMs: 0,
  ingresses: [serving],
  table: { incarnation: 'i', version: 4 },
  decided: true,
};
const failure = { revision: 2, message: 'it raised', traceback: 'Traceback …', atMs: 0 };

describe('a revision is done', () => {
  it.each<[string, Partial<ProgressFacts>, boolean]>([
    ['when all is in force', {}, true],
    ['when no ingress is there', { ingresses: [] }, true],
    ['when it changed nothing', { asked: { revision: 2, deployments: [] } }, true],
    ['when a deployment has left', { rollouts: [], states: [] }, true],
    ['when it has failed', { rollouts: [rollout(revised(2), null, failure)] }, true],
    ['not before it was decided on', { decided: false }, false],
    [
      'not before it was decided on, though nothing is known of its deployment',
      { decided: false, rollouts: [] },
      false,
    ],
    ['not before its deployments have settled', { states: [{ ...state, settled: false }] }, false],
    ['not before a deployment is known', { states: [] }, false],
    ['not before there is a table', { table: null }, false],
    ['not before an ingress is heard of', { ingresses: [serving, { nodeId: 'n2', entry: null }] }, false],
    ['not before every ingress serves the table', { table: { incarnation: 'i', version: 5 } }, false],
    [
      'not while an ingress serves another life of the store',
      { table: { incarnation: 'j', version: 1 } },
      false,
    ],
    [
      'not while a failure is not served everywhere',
      {
        rollouts: [rollout(revised(2), null, failure)],
        table: { incarnation: 'i', version: 5 },
      },
      false,
    ],
  ])('%s', (_when, facts, expected) => {
    expect(progressOf({ ...done, ...facts }).done).toBe(expected);
  });
});

it('says which revision has taken its place', () => {
  expect(progressOf(done).supersededBy).toBeNull();
  expect(progressOf({ ...done, newestRevision: 5 }).supersededBy).toBe(5);
});

it('names the ingresses that do not serve it yet', () => {
  const ingresses = [serving, { nodeId: 'n2', entry: null }];
  expect(progressOf({ ...done, ingresses }).waitingFor).toEqual(['n2']);
});

it('says of a failure what the backend said', () => {
  const [one] = progressOf({ ...done, rollouts: [rollout(revised(2), null, failure)] }).deployments;
  expect(one).toMatchObject({ failed: true, settled: false, message: 'it raised', error: 'Traceback …' });
});

it('says nothing of what an earlier revision made of it', () => {
  const [one] = progressOf({ ...done, decided: false }).deployments;
  expect(one).toMatchObject({ status: 'UPDATING', settled: false, failed: false, ready: 0 });
});

describe('something is moving', () => {
  const of = revised(2);
  it.each([
    ['while it prepares', waiting('r', of, { phase: 'preparing' }), true],
    ['while it starts', starting('r', of), true],
    ['while it has to prove itself', replica('r', of, { stable: false }), true],
    ['while it drains', replica('r', of, { phase: 'draining' }), true],
    ['not when it serves', replica('r', of), false],
    ['not when it waits for room', waiting('r', of), false],
    ['not when it failed', starting('r', of, { phase: 'failed' }), false],
  ])('%s', (_when, { status }, moving) => {
    const reported = status === null ? [] : [status];
    expect(progressOf({ ...done, reported }).deployments).toMatchObject([{ moving }]);
  });

  it('not for what other deployments do', () => {
    const other = starting('r', revised(2, { name: 'Faces' })).status;
    const [one] = progressOf({ ...done, reported: other === null ? [] : [other] }).deployments;
    expect(one).toMatchObject({ moving: false, replicas: [] });
  });
});

it('tells what each node prepares, and for how long, by the replica that has been at it longest', () => {
  const of = revised(2);
  const cast = [
    waiting('a', of, { phase: 'preparing', sinceMs: 9_000, message: 'waiting for the same build' }),
    waiting('b', of, { phase: 'preparing', sinceMs: 2_000, message: 'Collecting numpy' }),
    waiting('c', of, { phase: 'preparing', message: 'from an agent that tells no time' }),
    waiting('d', of),
  ];
  const [one] = progressOf({
    ...done,
    reported: cast.flatMap(({ status }) => (status === null ? [] : [status])),
    nodeOf: new Map([
      ['a', 'n1'],
      ['b', 'n1'],
      ['c', 'n2'],
      ['d', 'n3'],
    ]),
    nowMs: 10_000,
  }).deployments;
  expect(one?.preparing).toEqual([
    { node: 'n1', line: 'Collecting numpy', forMs: 8_000 },
    { node: 'n2', line: 'from an agent that tells no time', forMs: 0 },
  ]);
});
