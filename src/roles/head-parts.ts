import type { Dispatcher } from 'undici';
import type { ContentService } from '../agent/content/content-service.ts';
import type { StatePaths } from '../config/paths.ts';
import type { ApplyDesk, ApplyJob, Recorded } from '../controller/apply-desk.ts';
import type { ControlPlane } from '../controller/control-plane.ts';
import type { Leader } from '../controller/leader.ts';
import type { LeaderState } from '../controller/leader-state.ts';
import type { Rotations } from '../controller/rotations.ts';
import type { Uploads } from '../controller/uploads.ts';
import type { Log } from '../lib/log.ts';
import type { ApplyQueue, Store, StoreServer } from '../store/types.ts';
import type { HostPort } from './addresses.ts';
import type { ConfChoice } from './initial-conf.ts';
import type { NodeFlags, RunningNode } from './node.ts';
import type { NodeSecurity } from './node-security.ts';
import type { NodeTokens } from './tokens/node-tokens.ts';

export interface HeadFlags extends NodeFlags {
  readonly conf: ConfChoice;
  /** of the store and the node's HTTP and links */
  readonly host: string;
  /** of the store */
  readonly port: number;
  readonly dashboard: HostPort & { readonly isReadOnly: boolean };
  /** --redis; null: a store of its own */
  readonly redisUrl: string | null;
}

/** What all parts of a head stand on. */
export interface Ground {
  readonly paths: StatePaths;
  readonly tokens: NodeTokens;
  readonly nodeId: string;
  /** of the agent, and of what this machine keeps */
  readonly log: Log;
  readonly controllerLog: Log;
  readonly adminLog: Log;
  readonly host: { readonly bound: string; readonly advertised: string };
  readonly security: NodeSecurity;
  /** connections to the nodes' HTTP ports */
  readonly routes: Dispatcher;
  readonly announce: (admin: string) => Promise<void>;
}

/** The controller of a head and what it keeps. */
export interface Control {
  readonly server: StoreServer;
  readonly store: Store;
  readonly content: ContentService;
  readonly uploads: Uploads;
  readonly queue: ApplyQueue<ApplyJob, Recorded>;
  readonly state: LeaderState;
  readonly leader: Leader;
  readonly rotations: Rotations;
  readonly desk: ApplyDesk;
  readonly plane: ControlPlane;
}

/** A head whose controller is there. */
export interface Started {
  readonly ground: Ground;
  readonly control: Control;
  readonly stop: RunningNode['stop'];
}
