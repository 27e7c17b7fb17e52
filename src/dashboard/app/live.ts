import { batch, signal } from '@preact/signals';
import type { LiveMessage, StatusChanges } from '../../admin/types.ts';
import type { MetricTick } from '../../cluster/metrics/series.ts';
import type { StatusDocument } from '../../cluster/status/types.ts';
import type { ClusterEvent } from '../../store/types.ts';
import { AWAY, ask, trouble } from './api.ts';
import { countedIn, type Lately, withTick } from './lately.ts';

/** The newest status of the cluster; null: not known yet. */
export const status = signal<StatusDocument | null>(null);
/** How the cluster did in the last few seconds; null: not known yet. */
export const tick = signal<MetricTick | null>(null);
/** What deployments were asked in the last minute, as far as this page has heard of it. */
export const lately = signal<readonly Lately[]>([]);
/** What has happened since the page was opened, newest first. */
export const happened = signal<readonly ClusterEvent[]>([]);

const KEPT_EVENTS = 300;
/** Messages that come within so long are drawn together. Not by frames: there are none while nobody sees the page. */
const TOGETHER_MS = 40;
const MESSAGES = ['status', 'changes', 'tick', 'event'] as const;

/** A message without its number. */
type Said = LiveMessage extends infer Message
  ? Message extends LiveMessage
    ? Omit<Message, 'id'>
    : never
  : never;

/** Keeps what is known of the cluster true while the page is open. @returns what ends that */
export function followCluster(): () => void {
  const stream = new EventSource('api/v1/live');
  let waiting: Said[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const show = (): void => {
    timer = undefined;
    const said = waiting;
    waiting = [];
    batch(() => said.forEach(take));
  };
  for (const event of MESSAGES) {
    stream.addEventListener(event, (message) => {
      trouble.value = null;
      waiting.push({ event, data: JSON.parse((message as MessageEvent<string>).data) } as Said);
      timer ??= setTimeout(show, TOGETHER_MS);
    });
  }
  stream.addEventListener('error', () => {
    trouble.value = AWAY;
    // A stream says nothing of why: a login that has ended is told apart by asking.
    void ask('session').catch(() => undefined);
  });
  return () => {
    clearTimeout(timer);
    stream.close();
  };
}

function take({ event, data }: Said): void {
  if (event === 'status') status.value = data;
  else if (event === 'tick') takeTick(data);
  else if (event === 'event') happened.value = [data, ...happened.value].slice(0, KEPT_EVENTS);
  else if (status.value !== null) status.value = withChanges(status.value, data);
}

let ticks: readonly MetricTick[] = [];

function takeTick(data: MetricTick): void {
  ticks = withTick(ticks, data);
  tick.value = data;
  lately.value = countedIn(ticks);
}

function withChanges(before: StatusDocument, changes: StatusChanges): StatusDocument {
  const { nodes, deployments, goneNodes, goneDeployments } = changes;
  const { leader, revision, store, token_rotation } = changes;
  return {
    ...before,
    ...{ leader, revision, store, token_rotation },
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
