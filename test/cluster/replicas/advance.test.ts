import { describe, expect, it } from 'vitest';
import { accepts, advance, IllegalReplicaTransition } from '../../../src/cluster/replicas/advance.ts';
import { restartDelayMs } from '../../../src/cluster/replicas/restart-delay.ts';
import {
  isAdmitted,
  isPrepared,
  isStable,
  newReplica,
  type ReplicaEvent,
  type ReplicaState,
  restartsOf,
} from '../../../src/cluster/replicas/state.ts';
import type { FailureKind, ReplicaFailure } from '../../../src/cluster/replicas/types.ts';

function failure(kind: FailureKind, atMs = 0): ReplicaFailure {
  return { kind, message: kind, traceback: '', atMs };
}

const EVENTS = {
  'preparation-started': { type: 'preparation-started' },
  'preparation-finished': { type: 'preparation-finished' },
  'preparation-failed': { type: 'preparation-failed', failure: failure('prepare') },
  admitted: { type: 'admitted' },
  adopted: { type: 'adopted', pid: 9, startedAtMs: 1 },
  spawned: { type: 'spawned', pid: 7, atMs: 10 },
  'became-ready': { type: 'became-ready', atMs: 20 },
  'proved-stable': { type: 'proved-stable' },
  'heartbeat-lost': { type: 'heartbeat-lost', atMs: 30 },
  'heartbeat-returned': { type: 'heartbeat-returned', atMs: 40 },
  'start-timed-out': { type: 'start-timed-out', failure: failure('startup-timeout') },
  'found-hung': { type: 'found-hung', failure: failure('hung') },
  exited: { type: 'exited', failure: failure('crash') },
  'retry-came-due': { type: 'retry-came-due' },
  'drain-requested': { type: 'drain-requested', deadlineMs: 90 },
} as const satisfies { [Type in ReplicaEvent['type']]: Extract<ReplicaEvent, { type: Type }> };

type EventType = keyof typeof EVENTS;
const EVENT_TYPES = Object.keys(EVENTS) as EventType[];

function reached(...types: EventType[]): ReplicaState {
  return types.reduce<ReplicaState>((state, type) => advance(state, EVENTS[type]), newReplica());
}

const TO_PREPARED = ['preparation-started', 'preparation-finished'] as const;
const TO_STARTING = [...TO_PREPARED, 'admitted', 'spawned'] as const;
const TO_READY = [...TO_STARTING, 'became-ready'] as const;

/** Every situation a replica can be in, and where each legal event leads; all other pairs are illegal. */
const SITUATIONS: {
  name: string;
  state: ReplicaState;
  legal: { [Type in EventType]?: ReplicaState['phase'] };
}[] = [
  {
    name: 'pending, unprepared',
    state: newReplica(),
    legal: { 'preparation-started': 'preparing', adopted: 'starting', 'drain-requested': 'stopped' },
  },
  {
    name: 'preparing',
    state: reached('preparation-started'),
    legal: {
      'preparation-finished': 'pending',
      'preparation-failed': 'failed',
      'drain-requested': 'stopped',
    },
  },
  {
    name: 'pending, prepared',
    state: reached(...TO_PREPARED),
    legal: { admitted: 'starting', adopted: 'starting', 'drain-requested': 'stopped' },
  },
  {
    name: 'starting, not spawned',
    state: reached(...TO_PREPARED, 'admitted'),
    legal: { spawned: 'starting', exited: 'failed', 'drain-requested': 'stopped' },
  },
  {
    name: 'starting, spawned',
    state: reached(...TO_STARTING),
    legal: {
      'became-ready': 'ready',
      'start-timed-out': 'starting',
      exited: 'failed',
      'drain-requested': 'draining',
    },
  },
  {
    name: 'starting, given up',
    state: reached(...TO_STARTING, 'start-timed-out'),
    legal: { 'start-timed-out': 'starting', exited: 'failed', 'drain-requested': 'draining' },
  },
  {
    name: 'ready',
    state: reached(...TO_READY),
    legal: {
      'proved-stable': 'ready',
      'heartbeat-lost': 'suspect',
      'found-hung': 'ready',
      exited: 'failed',
      'drain-requested': 'draining',
    },
  },
  {
    name: 'ready, stable',
    state: reached(...TO_READY, 'proved-stable'),
    legal: {
      'proved-stable': 'ready',
      'heartbeat-lost': 'suspect',
      'found-hung': 'ready',
      exited: 'starting',
      'drain-requested': 'draining',
    },
  },
  {
    name: 'suspect',
    state: reached(...TO_READY, 'heartbeat-lost'),
    legal: {
      'heartbeat-returned': 'ready',
      'found-hung': 'suspect',
      exited: 'failed',
      'drain-requested': 'draining',
    },
  },
  {
    name: 'draining',
    state: reached(...TO_READY, 'drain-requested'),
    legal: { exited: 'stopped' },
  },
  {
    name: 'failed, to be prepared again',
    state: reached('preparation-started', 'preparation-failed'),
    legal: { 'retry-came-due': 'preparing', 'drain-requested': 'stopped' },
  },
  {
    name: 'failed, to be started again',
    state: reached(...TO_STARTING, 'exited'),
    legal: { 'retry-came-due': 'starting', 'drain-requested': 'stopped' },
  },
  { name: 'stopped', state: reached('drain-requested'), legal: {} },
];

describe('advance', () => {
  for (const { name, state, legal } of SITUATIONS) {
    for (const type of EVENT_TYPES) {
      const target = legal[type];
      if (target !== undefined) {
        it(`takes ${name} by ${type} to ${target}`, () => {
          expect(accepts(state, EVENTS[type])).toBe(true);
          expect(advance(state, EVENTS[type]).phase).toBe(target);
        });
      } else {
        it(`refuses ${type} when ${name}`, () => {
          expect(accepts(state, EVENTS[type])).toBe(false);
          expect(() => advance(state, EVENTS[type])).toThrow(IllegalReplicaTransition);
          expect(() => advance(state, EVENTS[type])).toThrow(
            expect.objectContaining({
              data: { code: 'REPLICA_ILLEGAL_TRANSITION', from: state.phase, event: type },
            }),
          );
        });
      }
    }
  }

  it('holds the slot from admission until the exit, between two starts as well', () => {
    const held = SITUATIONS.filter(({ state }) => isAdmitted(state)).map(({ name }) => name);
    expect(held).toEqual([
      'starting, not spawned',
      'starting, spawned',
      'starting, given up',
      'ready',
      'ready, stable',
      'suspect',
      'draining',
      'failed, to be started again',
    ]);
  });

  it('is prepared once the preparation finished, and only then', () => {
    const unprepared = SITUATIONS.filter(({ state }) => !isPrepared(state)).map(({ name }) => name);
    expect(unprepared).toEqual(['pending, unprepared', 'preparing', 'failed, to be prepared again']);
  });

  it('keeps the first reason for which a process was given up', () => {
    const first = advance(reached(...TO_READY), { type: 'found-hung', failure: failure('hung', 5) });
    const second = advance(first, { type: 'found-hung', failure: failure('hung', 6) });
    expect(advance(second, EVENTS.exited).history.failure).toEqual(failure('hung', 5));
    const late = advance(reached(...TO_STARTING, 'start-timed-out'), EVENTS.exited);
    expect(late.history.failure?.kind).toBe('startup-timeout');
  });

  it('counts failed starts until it is stable, and restarts a stable one at once', () => {
    const again = ['retry-came-due', 'spawned', 'exited'] as const;
    const failing = reached(...TO_STARTING, 'exited', ...again, ...again);
    expect(failing).toMatchObject({ phase: 'failed', retryAtMs: 2000, history: { startFailures: 3 } });
    expect(restartsOf(failing)).toBe(2);
    const back = advance(advance(failing, EVENTS['retry-came-due']), EVENTS.spawned);
    const stable = advance(advance(back, EVENTS['became-ready']), EVENTS['proved-stable']);
    expect(isStable(stable)).toBe(true);
    expect(stable.history.startFailures).toBe(0);
    expect(advance(stable, EVENTS.exited)).toMatchObject({ phase: 'starting', pid: null });
  });

  it('counts min_ready_s anew after a silence, unless it had passed', () => {
    const young = advance(reached(...TO_READY, 'heartbeat-lost'), EVENTS['heartbeat-returned']);
    expect(young).toMatchObject({ phase: 'ready', stable: false, readySinceMs: 40 });
    const grown = reached(...TO_READY, 'proved-stable', 'heartbeat-lost', 'heartbeat-returned');
    expect(grown).toMatchObject({ phase: 'ready', stable: true, readySinceMs: 20 });
    expect(grown).not.toHaveProperty('silentSinceMs');
  });
});

describe('restartDelayMs', () => {
  it('is immediate, then doubles up to 30 s', () => {
    const delays = Array.from({ length: 10 }, (_, failures) => restartDelayMs(failures));
    expect(delays).toEqual([0, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    expect(restartDelayMs(10_000)).toBe(30_000);
  });
});
