import { expect, it } from 'vitest';
import type { DeploymentStatus, StatusDocument } from '../../src/cluster/status/types.ts';
import { problemsOf, reasonOf } from '../../src/dashboard/pages/problems.ts';

function cluster(...deployments: readonly Partial<DeploymentStatus>[]): StatusDocument {
  const store = { kind: 'redis', ok: true };
  return { leader: 'n1', store, token_rotation: null, nodes: [], deployments } as unknown as StatusDocument;
}

const echo = { name: 'Echo', status: 'HEALTHY', ready: 1, target: 1, message: '' } as const;

it('says nothing of a cluster that does what it shall', () => {
  expect(problemsOf(cluster(echo), [{ name: 'Echo', requests: 100, failures: 4 }])).toEqual([]);
});

it('names a deployment whose requests fail, and not one of which two did', () => {
  const failing = problemsOf(cluster(echo), [{ name: 'Echo', requests: 100, failures: 27 }]);
  expect(failing).toMatchObject([
    { tone: 'warn', title: 'Requests for Echo fail', at: ['deployment', 'Echo'] },
  ]);
  expect(failing[0]?.details).toContain('27 %');
  expect(problemsOf(cluster(echo), [{ name: 'Echo', requests: 2, failures: 2 }])).toEqual([]);
});

it.each([
  { phase: 'accept', reason: null, title: 'The token is being replaced: accept', toDo: /rotate --cancel/ },
  { phase: 'drop', reason: null, title: 'The token is being replaced: drop', toDo: /start it again or stop/ },
  { phase: 'back', reason: 'cancelled', title: 'The old token comes back: back', toDo: /start it again/ },
] as const)('names the nodes that do not follow a new token: $phase', ({ phase, reason, title, toDo }) => {
  const rotation = { phase, reason, since: '2026-01-31T08:00:00Z', waiting_for: ['n2', 'n3'] };
  const [problem] = problemsOf({ ...cluster(echo), token_rotation: rotation }, []);
  expect(problem).toMatchObject({ tone: 'warn', title, toDo: expect.stringMatching(toDo) });
  expect(problem?.details).toBe(`${reason === null ? '' : `${reason}. `}Waits for n2, n3.`);
});

it('says for each problem what to do, the worst first, and of a deployment one thing', () => {
  const slow = {
    ...echo,
    name: 'Slow',
    status: 'DEGRADED',
    ready: 1,
    target: 2,
    message: '1 of 2 ready',
  } as const;
  const gone = { ...echo, status: 'PENDING', ready: 0, message: '0 of 1 ready; no room: node n1' } as const;
  const found = problemsOf(cluster(slow, gone), [{ name: 'Echo', requests: 100, failures: 100 }]);
  expect(found.map(({ title }) => title)).toEqual([
    'Echo is pending: 0 of 1 ready',
    'Slow is degraded: 1 of 2 ready',
  ]);
  for (const { toDo } of found) expect(toDo).not.toBe('');
  expect(found[0]?.details).toBe('No room: node n1');
});

it.each([
  ['0 of 1 ready', ''],
  ['0 of 1 ready; no room: node n1', 'No room: node n1'],
  ['revision 2 failed: boom', 'Revision 2 failed: boom'],
  ['', ''],
])('does not say twice how many are ready: %j', (message, reason) => {
  expect(reasonOf({ ...echo, ready: 0, message } as unknown as DeploymentStatus)).toBe(reason);
});
