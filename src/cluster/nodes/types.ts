import type { NodeSoftware } from '../environments/types.ts';
import type { NodeCapacity } from '../placement/types.ts';
import type { TokenUse } from '../rotation/types.ts';

export type NodeRole = 'head' | 'worker';

/** A machine as its agent describes it; published beside a lease that proves it lives. */
export interface NodeRecord {
  readonly nodeId: string;
  readonly role: NodeRole;
  readonly hostname: string;
  /** what other nodes and clients reach it by */
  readonly host: string;
  readonly httpPort: number;
  readonly linkPort: number;
  /** what is encrypted of what it listens for; not there: nothing (a version before it) */
  readonly tls?: { readonly nodes: boolean; readonly clients: boolean };
  /** of its content server, for packages and models; 0 or missing: it has none (a version before it) */
  readonly contentPort?: number;
  /** of the node process */
  readonly pid: number;
  readonly capacity: NodeCapacity;
  /** it is leaving: see ObservedNode.draining */
  readonly draining: boolean;
  /** what environments can be made of here; null or not there: not told */
  readonly software?: NodeSoftware | null;
  readonly modelserveVersion: string;
  readonly protocols: { readonly channel: number; readonly store: number };
  readonly startedAtMs: number;
  /** by which tokens it proves itself, and which it accepts; not there: a version before it */
  readonly tokens?: TokenUse;
}
