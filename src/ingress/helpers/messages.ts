import type { IngressSample, PartialIngress } from '../../cluster/metrics/samples.ts';
import type { RoutingTable } from '../../cluster/routing/types.ts';
import type { PathSecrets } from '../../config/token.ts';
import type { ProcessLoad } from '../load.ts';
import type { RequestPathOptions } from '../request-path.ts';

/** From the main process of an ingress to a helper. `ask` comes back with the answer. */
export type ToHelper =
  | { readonly do: 'begin'; readonly options: RequestPathOptions; readonly table: RoutingTable }
  | { readonly do: 'adopt'; readonly table: RoutingTable }
  | { readonly do: 'secrets'; readonly ask: number; readonly secrets: PathSecrets }
  /** comes with a connection */
  | { readonly do: 'take' }
  | { readonly do: 'renew' }
  | { readonly do: 'report'; readonly ask: number }
  | { readonly do: 'measure'; readonly ask: number }
  /** what a helper asked for with `asks`; null: it could not be had */
  | { readonly do: 'answer'; readonly ask: number; readonly sample: IngressSample | null }
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
  /** `ask` is 0 in the last word of one that ends */
  | { readonly say: 'sample'; readonly ask: number; readonly sample: PartialIngress }
  /** what all processes of the ingress have counted, for a client of this one */
  | { readonly say: 'asks'; readonly ask: number }
  /** it uses those that it was told */
  | { readonly say: 'following'; readonly ask: number }
  | { readonly say: 'drained'; readonly ask: number; readonly drained: boolean };
