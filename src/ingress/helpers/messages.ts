import type { RoutingTable } from '../../cluster/routing/types.ts';
import type { ProcessLoad } from '../load.ts';
import type { RequestPathOptions } from '../request-path.ts';

/** From the main process of an ingress to a helper. `ask` comes back with the answer. */
export type ToHelper =
  | { readonly do: 'begin'; readonly options: RequestPathOptions; readonly table: RoutingTable }
  | { readonly do: 'adopt'; readonly table: RoutingTable }
  /** comes with a connection */
  | { readonly do: 'take' }
  | { readonly do: 'renew' }
  | { readonly do: 'report'; readonly ask: number }
  | { readonly do: 'drain'; readonly ask: number; readonly graceMs: number }
  /** serves the connections it has until they are gone, and ends */
  | { readonly do: 'leave' }
  /** ends now */
  | { readonly do: 'end' };

/** From a helper to the main process. */
export type FromHelper =
  /** it can take connections */
  | { readonly say: 'ready' }
  /** the oldest connection on its way has arrived; said before its first byte is read */
  | { readonly say: 'took' }
  /** `ask` is 0 in the last word of one that ends */
  | { readonly say: 'load'; readonly ask: number; readonly load: ProcessLoad }
  | { readonly say: 'drained'; readonly ask: number; readonly drained: boolean };
