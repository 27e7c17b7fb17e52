import { randomUUID } from 'node:crypto';
import type { JsonValue } from '../lib/json.ts';
import type { StoreConnection } from './connection.ts';
import type { StoreKeys } from './keys.ts';
import { eventsText } from './records.ts';
import { runScript, type ScriptCall, type ScriptName } from './scripts.ts';
import {
  type EventDraft,
  type FencedWrite,
  LEADER_LEASE_MS,
  type LeaderStore,
  type Leadership,
  type Topic,
} from './types.ts';

/** What this connection knows of the data it wrote: an older snapshot is told by having fewer writes. */
interface OwnWrites {
  incarnation: string | null;
  count: number;
  /** the server's life in which this connection campaigned last */
  serverRun: string;
}

type RunScript = (action: string, name: ScriptName, call: ScriptCall) => Promise<unknown>;

interface LeaderSession {
  /** run id of the server process that the connection speaks to, '' where it does not tell */
  readonly serverRun: () => string;
}

/** The leader's part of the store: the lease, and writes that are fenced by its epoch. */
export function createLeaderStore(
  connection: StoreConnection,
  keys: StoreKeys,
  session: LeaderSession,
): LeaderStore {
  const own: OwnWrites = { incarnation: null, count: 0, serverRun: '' };
  const script: RunScript = (action, name, call) =>
    connection.run(action, (redis) => runScript(redis, name, call));

  const fenced: Fenced = async (name, leadership, write) => {
    const count = await script(write.action, name, {
      keys: [keys.leader(), keys.incarnation(), keys.writes(), ...write.keys],
      args: [leadership.epoch, leadership.incarnation, keys.hints(write.topic), ...write.args],
    });
    if (count === 0) return 'fenced';
    own.count = Number(count);
    return 'written';
  };

  return {
    get writeCount() {
      return own.count;
    },
    campaign: createCampaign(script, keys, session, own),
    async renewLeadership(candidateId, epoch) {
      // A server that was started again may hold older data than was written: only a campaign can settle that.
      if (connection.link === 'connected' && session.serverRun() !== own.serverRun) return false;
      const renewed = await script('renew the leadership', 'renew-leadership', {
        keys: [keys.leader()],
        args: [candidateId, epoch, LEADER_LEASE_MS],
      });
      return renewed === 1;
    },
    async resign(candidateId, epoch) {
      const resigned = event('leader-resigned', { candidateId, epoch });
      await script('resign', 'resign', {
        keys: [keys.leader(), keys.events()],
        args: [candidateId, epoch, resigned, keys.hints('leader')],
      });
    },
    ...fencedWrites(fenced, keys),
  };
}

function createCampaign(
  script: RunScript,
  keys: StoreKeys,
  session: LeaderSession,
  own: OwnWrites,
): LeaderStore['campaign'] {
  return async (candidateId, known) => {
    const incarnation = known.incarnation ?? own.incarnation;
    const serverRun = session.serverRun();
    const writes = incarnation === own.incarnation ? Math.max(known.writeCount, own.count) : known.writeCount;
    const won = await script('campaign', 'campaign', {
      keys: [keys.leader(), keys.epoch(), keys.incarnation(), keys.writes(), keys.serverRun(), keys.events()],
      args: [
        candidateId,
        LEADER_LEASE_MS,
        known.highestEpoch,
        incarnation ?? '',
        writes,
        randomUUID(),
        serverRun,
        keys.hints('leader'),
      ],
    });
    if (!Array.isArray(won)) return null;
    const leadership = { epoch: Number(won[0]), incarnation: String(won[1]) };
    own.incarnation = leadership.incarnation;
    own.serverRun = serverRun;
    own.count = Number(won[2]);
    return leadership;
  };
}

interface FencedCall {
  readonly action: string;
  readonly topic: Topic;
  /** after lease, incarnation and write counter */
  readonly keys: readonly string[];
  /** after epoch, incarnation and channel */
  readonly args: readonly (string | number)[];
}

type Fenced = (name: ScriptName, leadership: Leadership, write: FencedCall) => Promise<FencedWrite>;

function fencedWrites(
  fenced: Fenced,
  keys: StoreKeys,
): Pick<
  LeaderStore,
  'publishRevision' | 'publishAssignment' | 'publishRouting' | 'publishRotation' | 'forgetNode'
> {
  return {
    publishRevision: (leadership, revision, rollouts) =>
      fenced('publish-revision', leadership, {
        action: `publish revision ${revision.number}`,
        topic: 'revision',
        keys: [keys.events(), keys.revision()],
        args: [
          event('revision-recorded', { revision: revision.number }),
          revision.number,
          JSON.stringify(revision),
          JSON.stringify(rollouts),
        ],
      }),
    publishAssignment: (leadership, assignment, events) =>
      fenced('publish-assignment', leadership, {
        action: `publish the assignment of node ${assignment.nodeId}`,
        topic: 'assignments',
        keys: [keys.events(), keys.assignments()],
        args: [eventsText(events), assignment.nodeId, JSON.stringify(assignment)],
      }),
    publishRouting: (leadership, table) =>
      fenced('publish-routing', leadership, {
        action: `publish routing table ${table.version}`,
        topic: 'routing',
        keys: [keys.routing()],
        args: [JSON.stringify(table)],
      }),
    publishRotation: (leadership, rotation, events) =>
      fenced('publish-rotation', leadership, {
        action: 'publish how far the token is replaced',
        topic: 'rotation',
        keys: [keys.events(), keys.rotation()],
        args: [eventsText(events), JSON.stringify(rotation)],
      }),
    forgetNode: (leadership, nodeId) =>
      fenced('forget-node', leadership, {
        action: `forget node ${nodeId}`,
        topic: 'nodes',
        keys: [
          keys.events(),
          keys.nodeLease(nodeId),
          keys.nodes(),
          keys.reports(),
          keys.ingresses(),
          keys.assignments(),
        ],
        args: [event('node-forgotten', { nodeId }), nodeId],
      }),
  };
}

function event(type: string, fields: { readonly [key: string]: JsonValue }): string {
  const drafts: readonly EventDraft[] = [{ type, fields }];
  return eventsText(drafts);
}
