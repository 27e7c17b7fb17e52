import { signal } from '@preact/signals';
import type { LiveMessage, StatusChanges } from '../../admin/types.ts';
import type { MetricTick } from '../../cluster/metrics/series.ts';
import type { StatusDocument } from '../../cluster/status/types.ts';
import type { ClusterEvent } from '../../store/types.ts';
import { ask, trouble } from './api.ts';

/** The newest status of the cluster; null: not known yet. */
export const status = signal<StatusDocument | null>(null);
/** How the cluster did in the last few seconds; null: not known yet. */
export const tick = signal<MetricTick | null>(null);
/** What has happened since the page was opened, newest first. */
export const happened = signal<readonly ClusterEvent[]>([]);

const KEPT_EVENTS = 300;
const AWAY = 'The head does not answer. What is shown is what was known last.';

/** Keeps what is known of the cluster true while the page is open. @returns what ends that */
export function followCluster(): () => void {
  const stream = new EventSource('api/v1/live');
  const on = <Name extends LiveMessage['event']>(name: Name, take: (data: DataOf<Name>) => void): void => {
    stream.addEventListener(name, (message) => {
      trouble.value = null;
      take(JSON.parse((message as MessageEvent<string>).data) as DataOf<Name>);
    });
  };
  on('status', (data) => {
    status.value = data;
  });
  on('changes', (data) => {
    if (status.value !== null) status.value = withChanges(status.value, data);
  });
  on('tick', (data) => {
    tick.value = data;
  });
  on('event', (data) => {
    happened.value = [data, ...happened.value].slice(0, KEPT_EVENTS);
  });
  stream.addEventListener('error', () => {
    trouble.value = AWAY;
    // A stream says nothing of why: a login that has ended is told apart by asking.
    void ask('session').catch(() => undefined);
  });
  return () => stream.close();
}

type DataOf<Name extends LiveMessage['event']> = Extract<LiveMessage, { readonly event: Name }>['data'];

function withChanges(before: StatusDocument, changes: StatusChanges): StatusDocument {
  const { leader, revision, store, nodes, deployments, goneNodes, goneDeployments } = changes;
  return {
    ...before,
    ...{ leader, revision, store },
    nodes: merged(before.nodes, nodes, { keyOf: ({ id }) => id, gone: goneNodes }),
    deployments: merged(before.deployments, deployments, {
      keyOf: ({ name }) => name,
      gone: goneDeployments,
    }),
  };
}

function merged<Item>(
  before: readonly Item[],
  changed: readonly Item[],
  { keyOf, gone }: { readonly keyOf: (item: Item) => string; readonly gone: readonly string[] },
): readonly Item[] {
  const news = new Map(changed.map((item) => [keyOf(item), item]));
  const kept = before.flatMap((item) => {
    const key = keyOf(item);
    const now = news.get(key) ?? item;
    news.delete(key);
    return gone.includes(key) ? [] : [now];
  });
  return [...kept, ...news.values()].sort((left, right) => keyOf(left).localeCompare(keyOf(right)));
}
