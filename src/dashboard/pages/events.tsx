import { useState } from 'preact/hooks';
import type { ClusterEvent } from '../../store/types.ts';
import { happened } from '../app/live.ts';
import { usePolled } from '../app/use-polled.ts';
import { dateTimeText } from '../app/words.ts';
import { Card, Empty, Notice } from '../parts/card.tsx';
import { Pages } from '../parts/pages.tsx';
import { Scroll } from '../parts/scroll.tsx';

const SHOWN = 300;
const ROWS = 40;

export function EventsPage() {
  const { data, error } = usePolled<readonly ClusterEvent[]>(`events?limit=${SHOWN}`, 60_000);
  const [wanted, setWanted] = useState('');
  const known = data === null ? [] : newestFirst(data, happened.value);
  const words = wanted.toLowerCase();
  const shown =
    words === '' ? known : known.filter((event) => JSON.stringify(event).toLowerCase().includes(words));
  return (
    <>
      <div class="head">
        <h1>Events</h1>
        <label style={{ width: 'min(100%, 260px)' }}>
          <input
            type="search"
            placeholder="Find"
            aria-label="Find in events"
            value={wanted}
            onInput={(event) => setWanted(event.currentTarget.value)}
          />
        </label>
      </div>
      {error !== null && <Notice tone="bad" title={error} />}
      <Card>
        {shown.length === 0 ? (
          <Empty>{emptyText(data !== null, words)}</Empty>
        ) : (
          <Pages items={shown} size={ROWS} name="the events">
            {(page) => <EventTable events={page} />}
          </Pages>
        )}
      </Card>
    </>
  );
}

function emptyText(isKnown: boolean, words: string): string {
  if (!isKnown) return 'Asking the head …';
  return words === ''
    ? 'Nothing has happened yet. Changes, failures, and nodes that come and go are listed here.'
    : 'No event has these words.';
}

/** What was asked for, and what was told since, each once. */
function newestFirst(asked: readonly ClusterEvent[], told: readonly ClusterEvent[]): readonly ClusterEvent[] {
  const known = new Set(asked.map(({ id }) => id));
  return [...told.filter(({ id }) => !known.has(id)), ...asked.toReversed()].slice(0, SHOWN);
}

export function EventTable({ events }: { readonly events: readonly ClusterEvent[] }) {
  return (
    <Scroll name="Events">
      <table class="stacked">
        <thead>
          <tr>
            <th scope="col">When</th>
            <th scope="col">What</th>
            <th scope="col">Details</th>
          </tr>
        </thead>
        <tbody>
          {events.map((event) => (
            <tr key={event.id}>
              <td class="quiet small" style={{ whiteSpace: 'nowrap' }}>
                {dateTimeText(event.atMs)}
              </td>
              <td style={{ whiteSpace: 'nowrap' }}>{event.type.replaceAll('-', ' ')}</td>
              <td class="small">{detailsOf(event.fields)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function detailsOf(fields: Readonly<Record<string, unknown>>): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== '' && value !== null)
    .map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(' · ');
}
