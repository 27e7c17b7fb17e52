import type { JsonValue } from '../lib/json.ts';
import { storeError } from './errors.ts';
import type { ClusterEvent, EventDraft } from './types.ts';

/** Event drafts as the scripts take them: a JSON array whose `fields` are JSON text, since Lua would turn `[]` into `{}`. */
export function eventsText(events: readonly EventDraft[]): string {
  return JSON.stringify(events.map(({ type, fields }) => ({ type, fields: JSON.stringify(fields) })));
}

/**
 * A stream entry as an event. Its time is the server's, the first part of its id.
 * @throws StoreError STORE_REPLY
 */
export function eventOf(id: string, flat: readonly string[]): ClusterEvent {
  const value = (name: string): string | undefined => flat[flat.indexOf(name) + 1];
  return {
    id,
    atMs: Number(id.split('-')[0]),
    type: value('type') ?? '',
    fields: parseRecord<{ readonly [key: string]: JsonValue }>(value('fields') ?? '{}', `event ${id}`),
  };
}

/**
 * A value of the store. The schema version vouches for its shape.
 * @throws StoreError STORE_REPLY naming it when it is not JSON
 */
export function parseRecord<T>(text: string, name: string): T {
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw storeError(
      'STORE_REPLY',
      `the store holds something else than JSON as ${name}: is another program using the same Redis database and prefix?`,
      cause,
    );
  }
}
