import { expect, it } from 'vitest';
import { ClusterView } from '../../src/controller/cluster-view.ts';
import { isAlive } from '../../src/controller/liveness.ts';
import type { NodeEntry } from '../../src/store/types.ts';
import { ControlWorld } from './world.ts';

const LONG_AGO = -1_000_000;

it.each([
  ['its lease is there', null, LONG_AGO, true],
  ['its lease has just lapsed', 99_000, LONG_AGO, true],
  ['its lease lapsed, and it had the time to renew it', 97_000, LONG_AGO, false],
  ['its lease lapsed, but the leader has not seen the store for a lease yet', 50_000, 91_000, true],
  ['its lease lapsed, and the leader has seen the store for a lease', 50_000, 90_000, false],
])('%s', (_what, unleasedSinceMs, storeSeenSinceMs, expected) => {
  const view = new ClusterView();
  view.observe([entry(unleasedSinceMs === null)], unleasedSinceMs ?? 0);
  const node = view.nodes.get('n1') ?? expect.fail();
  expect(isAlive(node, { nowMs: 100_000, storeSeenSinceMs })).toBe(expected);
});

it('keeps what it knew of a node that the store does not show any more', () => {
  const view = new ClusterView();
  const report = { nodeId: 'n1', assignmentVersion: 3, incarnation: 'i', replicas: [] };
  view.observe([{ ...entry(true), report }], 1);
  view.observe([], 2);
  view.observe([], 3);
  expect(view.nodes.get('n1')).toMatchObject({ report, unleasedSinceMs: 2, recordMissing: true });
  view.observe([entry(true)], 4); // record first, report later: how an agent tells an emptied store
  expect(view.nodes.get('n1')).toMatchObject({ report, unleasedSinceMs: null, recordMissing: false });
});

it('numbers assignments beyond what a node follows already', () => {
  const view = new ClusterView();
  const report = { nodeId: 'n1', assignmentVersion: 7, incarnation: 'i', replicas: [] };
  view.observe([{ ...entry(true), report }], 1);
  view.assign('n1', []);
  expect(view.assignment('n1')).toEqual({ version: 8, replicas: [], dirty: true, epoch: 0 });
  view.markWritten('n1', 7, 2); // of an earlier one: changes nothing
  expect(view.dirtyNodes()).toEqual(['n1']);
  view.markWritten('n1', 8, 2);
  expect(view.dirtyNodes()).toEqual([]);
  view.markAllDirty();
  expect(view.assignment('n1')).toEqual({ version: 9, replicas: [], dirty: true, epoch: 2 });
});

it('writes anew what a node would ignore, because it has followed a later leader of other data since', () => {
  const view = new ClusterView();
  const follow = (incarnation: string, epoch: number) => {
    const report = { nodeId: 'n1', assignmentVersion: 4, incarnation, epoch, replicas: [] };
    view.observe([{ ...entry(true), report }], 1);
    view.renewIgnored('i3');
  };
  view.takeOver([{ nodeId: 'n1', version: 3, epoch: 13, incarnation: 'i3', replicas: [] }]);
  follow('i2', 12);
  follow('i3', 13);
  expect(view.dirtyNodes()).toEqual([]);
  follow('i2', 24);
  expect(view.dirtyNodes()).toEqual(['n1']);
  view.markWritten('n1', 4, 29);
  follow('i2', 24); // it has not heard yet
  expect(view.dirtyNodes()).toEqual([]);
});

function entry(leased: boolean): NodeEntry {
  return { record: new ControlWorld().record('n1'), leased, report: null };
}
