import { Agent } from 'undici';
import type { LiveSource, Measurements, RevisionDesk, TokenDesk } from '../../src/admin/types.ts';

/** Calls that answer with what they were asked. */
export function echo<Desk>(names: readonly string[]): Desk {
  const calls = names.map((name) => [name, (...given: unknown[]) => ({ call: name, given })]);
  return Object.fromEntries(calls) as Desk;
}

export const echoRevisions = echo<RevisionDesk>(['list', 'read', 'diff', 'validate', 'plan', 'apply']);

export const echoTokens = echo<TokenDesk>(['read', 'rotate', 'cancel']);

export const echoMeasurements: Measurements = {
  ...echo<Measurements>(['series', 'environments']),
  exposition: async () => 'up 1\n',
  samples: [],
  isOpen: false,
};

/** One message, which says after which it comes. */
export const echoLive: LiveSource = {
  open: async (afterId) =>
    (async function* () {
      yield {
        id: '1',
        event: 'event' as const,
        data: { id: '7', atMs: 0, type: String(afterId), fields: {} },
      };
    })(),
};

/** Asks the nodes plainly. */
export const plainRoutes = new Agent();
