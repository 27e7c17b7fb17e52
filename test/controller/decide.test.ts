import { expect, it } from 'vitest';
import { ClusterView } from '../../src/controller/cluster-view.ts';
import { decide } from '../../src/controller/decide.ts';
import { LeaderState } from '../../src/controller/leader-state.ts';
import { pinnedSpec, type SpecOver } from '../cluster/builders.ts';
import { type Cast, draining, replica, revised } from '../cluster/rollout/scene.ts';
import { ControlWorld, draftOf, MemoryFiles } from './world.ts';

/** A leader's view of one node that runs these, and what it decides when this is wanted. */
async function decided(cast: readonly Cast[], wanted: readonly SpecOver[], isAssigned: boolean) {
  const state = new LeaderState(new MemoryFiles());
  await state.record(draftOf(wanted.map(pinnedSpec)), 0);
  const view = new ClusterView();
  const replicas = cast.flatMap(({ status }) => (status === null ? [] : [status]));
  const report = { nodeId: 'n1', assignmentVersion: 3, incarnation: 'i', replicas };
  view.observe([{ record: new ControlWorld().record('n1'), leased: true, report }], 1);
  if (isAssigned) {
    view.takeOver([
      {
        nodeId: 'n1',
        version: 3,
        epoch: 1,
        incarnation: 'i',
        replicas: cast.map(({ assignment }) => assignment),
      },
    ]);
  }
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
  const { told, plan } = await decided([replica('Echo-1', revised(1))], [{}], false);
  expect(told).toEqual(['Echo-1 run r1']);
  expect([...plan.start, ...plan.drain]).toEqual([]);
});

it('drains what it took over when no section names it', async () => {
  const { told, events } = await decided([replica('Echo-1', revised(1))], [], false);
  expect(told).toEqual(['Echo-1 drain r1']);
  expect(events).toEqual(['replica-drained']);
});

it('changes nothing in an assignment that is as it should be', async () => {
  expect((await decided([replica('Echo-1', revised(1))], [{}], true)).told).toBeUndefined();
});

it('starts beside, updates in place, drains and forgets within one list', async () => {
  const left: Cast = { ...draining(replica('Echo-9', revised(1), null)), status: null };
  const cast = [replica('Echo-1', revised(1)), replica('Gone-1', revised(1, { name: 'Gone' })), left];
  const { told } = await decided(cast, [{ replicas: 2, hashes: { routing: 'routing-2' } }], true);
  expect(told).toEqual(['Echo-1 run r1', 'Gone-1 drain r1', 'Echo-new run r1']);
});
