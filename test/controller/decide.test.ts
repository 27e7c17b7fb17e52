import { expect, it } from 'vitest';
import { ClusterView } from '../../src/controller/cluster-view.ts';
import { decide } from '../../src/controller/decide.ts';
import { LeaderState } from '../../src/controller/leader-state.ts';
import { pinnedSpec, type SpecOver } from '../cluster/builders.ts';
import { type Cast, draining, replica, revised } from '../cluster/rollout/scene.ts';
import { ControlWorld, draftOf, MemoryFiles } from './world.ts';

/** A leader's view of one node that runs these, and what it decides when this is wanted. */
async function decided(
  cast: readonly Cast[],
  wanted: readonly SpecOver[],
  known: 'assigned' | 'nothing' | 'older',
) {
  const state = new LeaderState(new MemoryFiles());
  await state.record(draftOf(wanted.map(pinnedSpec)), 0);
  const view = new ClusterView();
  const replicas = cast.flatMap(({ status }) => (status === null ? [] : [status]));
  const report = { nodeId: 'n1', assignmentVersion: 3, incarnation: 'i', replicas };
  view.observe([{ record: new ControlWorld().record('n1'), leased: true, report }], 1);
  const assigned = { nodeId: 'n1', epoch: 1, incarnation: 'i' };
  if (known === 'older') view.takeOver([{ ...assigned, version: 2, replicas: [] }]);
  if (known === 'assigned')
    view.takeOver([{ ...assigned, version: 3, replicas: cast.map(({ assignment }) => assignment) }]);
  const { plan, assignments, events } = decide(view, state, {
    nowMs: 10,
    isAlive: () => true,
    newReplicaId: (deployment) => `${deployment}-new`,
    incarnation: 'i',
  });
  const told = assignments
    .get('n1')
    ?.map(({ replicaId, desired, revision }) => `${replicaId} ${desired} r${revision}`);
  return { plan, told, events: events.map(({ type }) => type) };
}

it('takes what a node runs for what it was assigned when nothing is known of that', async () => {
  const { told, plan } = await decided([replica('Echo-1', revised(1))], [{}], 'nothing');
  expect(told).toEqual(['Echo-1 run r1']);
  expect([...plan.start, ...plan.drain]).toEqual([]);
});

it('drains what it took over when no section names it', async () => {
  const { told, events } = await decided([replica('Echo-1', revised(1))], [], 'nothing');
  expect(told).toEqual(['Echo-1 drain r1']);
  expect(events).toEqual(['replica-drained']);
});

it('takes what a node runs for what it was assigned when a store that fell back shows an older assignment', async () => {
  const wanted = await decided([replica('Echo-1', revised(1))], [{}], 'older');
  expect(wanted.told).toEqual(['Echo-1 run r1']);
  expect([...wanted.plan.start, ...wanted.plan.drain]).toEqual([]);
  expect((await decided([replica('Echo-1', revised(1))], [], 'older')).told).toEqual(['Echo-1 drain r1']);
});

it('changes nothing in an assignment that is as it should be', async () => {
  expect((await decided([replica('Echo-1', revised(1))], [{}], 'assigned')).told).toBeUndefined();
});

it('starts beside, updates in place, drains and forgets within one list', async () => {
  const left: Cast = { ...draining(replica('Echo-9', revised(1), null)), status: null };
  const cast = [replica('Echo-1', revised(1)), replica('Gone-1', revised(1, { name: 'Gone' })), left];
  const { told } = await decided(cast, [{ replicas: 2, hashes: { routing: 'routing-2' } }], 'assigned');
  expect(told).toEqual(['Echo-1 run r1', 'Gone-1 drain r1', 'Echo-new run r1']);
});
