import { expect } from 'vitest';
import type { Plan, World } from '../../../src/cluster/rollout/types.ts';
import type { SimWorld } from './world.ts';

/** On no GPU do the slices of all that runs or drains exceed the whole, nor the memory of any node. */
export function expectNothingOvercommitted(world: SimWorld): void {
  for (const { agent } of world.nodes.values()) {
    const held = agent.held();
    const memoryBytes = held.reduce((sum, claim) => sum + claim.memoryBytes, 0);
    expect(memoryBytes, `memory of ${agent.nodeId}`).toBeLessThanOrEqual(agent.capacity.memoryBytes);
    for (const { uuid } of agent.capacity.gpus) {
      const slices = held.flatMap((claim) => claim.slices).filter((slice) => slice.uuid === uuid);
      const milli = slices.reduce((sum, slice) => sum + slice.milli, 0);
      expect(milli, `GPU ${uuid}`).toBeLessThanOrEqual(1000);
    }
  }
}

/**
 * No replica that serves something else than the target goes before a new one has proved itself, or is prepared and
 * waits for its slot; unless the deployment or its node goes.
 */
export function expectNoHastyDrain(seen: World, plan: Plan): void {
  const rollouts = new Map(
    [...seen.rollouts, ...plan.rollouts].map((rollout) => [rollout.deployment, rollout]),
  );
  const members = seen.nodes.flatMap((node) =>
    node.assigned.map((assignment) => ({
      node,
      assignment,
      status: node.report?.replicas.find((one) => one.assignment.replicaId === assignment.replicaId),
    })),
  );
  for (const { replicaId } of plan.drain) {
    const drained = members.find(({ assignment }) => assignment.replicaId === replicaId)!;
    const rollout = rollouts.get(drained.assignment.deployment);
    const target = rollout?.failure === null ? rollout.wanted : (rollout?.lastGood ?? null);
    const { replace } = drained.assignment.spec.hashes;
    if (rollout === undefined || target === null || target.spec.replicas === 0) continue;
    if (drained.node.draining || replace === target.spec.hashes.replace) continue;
    if (drained.status?.phase !== 'ready') continue;
    const relieved = members.some(
      ({ node, assignment, status }) =>
        assignment.deployment === rollout.deployment &&
        assignment.spec.hashes.replace === target.spec.hashes.replace &&
        status !== undefined &&
        (status.stable || (node === drained.node && status.prepared && !status.admitted)),
    );
    expect(relieved, `${replicaId} was drained before a new replica was stable or prepared`).toBe(true);
  }
}

/** A plan that was carried out asks for nothing more until reports change. */
export function expectNothingMoreToDo(world: SimWorld): void {
  const again = world.planAgain();
  expect({
    start: again.start,
    drain: again.drain,
    forget: again.forget,
    update: again.update,
    rollouts: again.rollouts,
    finished: again.finished,
  }).toEqual({ start: [], drain: [], forget: [], update: [], rollouts: [], finished: [] });
}

/** The end of a quiet time: every deployment has come to an end that can be told, and nothing is left over. */
export function expectSettled(world: SimWorld): void {
  const assigned = [...world.nodes.values()].flatMap((node) => node.assigned);
  const running = [...world.nodes.values()].flatMap(({ agent }) => [...agent.replicas.keys()]);
  expect(assigned.map((one) => one.replicaId).sort()).toEqual(running.sort());
  expect(assigned.filter((one) => one.desired === 'drain')).toEqual([]);
  for (const { deployment, health, ready, target, unplaced, message } of world.states) {
    const rollout = world.rollouts.find((one) => one.deployment === deployment)!;
    const spec = rollout.failure === null ? rollout.wanted?.spec : rollout.lastGood?.spec;
    const mine = assigned.filter((one) => one.deployment === deployment);
    expect(['HEALTHY', 'DEPLOY_FAILED', 'PENDING'], `${deployment}: ${message}`).toContain(health);
    if (health === 'HEALTHY') expect(ready, deployment).toBe(target);
    if (health === 'PENDING') expect(unplaced.length, deployment).toBeGreaterThan(0);
    if (unplaced.length > 0) continue;
    expect(mine.length, deployment).toBe(spec?.replicas ?? 0);
    for (const one of mine) expect(one.spec.hashes, deployment).toEqual(spec?.hashes);
  }
  const known = world.rollouts.map((rollout) => rollout.deployment);
  expect(world.rollouts.filter((rollout) => rollout.wanted === null)).toEqual([]);
  expect(assigned.filter((one) => !known.includes(one.deployment))).toEqual([]);
}
