import type { ReadyReplica } from '../channel/messages.ts';
import type { Endpoint, NodeAddress, RoutingTable } from '../cluster/routing/types.ts';
import { replicaSocket } from '../config/paths.ts';
import type { LiveSecrets } from '../lib/live-secrets.ts';
import type { Log } from '../lib/log.ts';
import type { LiveTls } from '../lib/tls/live-tls.ts';
import { LocalReplica } from './local-replica.ts';
import { NodeLink } from './node-link.ts';
import { Target } from './target.ts';

const EXAMINE_MS = 500;

export interface FleetOptions {
  readonly nodeId: string;
  readonly socketsDir: string;
  readonly linkKeys: LiveSecrets;
  /** of links; null: they are plain */
  readonly tls: LiveTls | null;
  /** uniform in [0, 1) */
  readonly random: () => number;
  readonly log: Log;
}

export interface FleetListener {
  /** a deployment may have room at a replica, or has lost some */
  onRoom(deployment: string): void;
  /** what this node's own replicas can take has changed */
  onLocalChange(): void;
}

export interface DeploymentTargets {
  readonly near: readonly Target[];
  readonly far: readonly Target[];
}

interface Member {
  readonly target: Target;
  readonly deployment: string;
  /** the replica's own connection, for one of this node */
  readonly local: LocalReplica | null;
  /** key of the link it is reached by, for one of another node */
  readonly linkKey: string | null;
}

/** Every replica that the routing table names, with the connections to them. What the table drops ends its work first. */
export class Fleet {
  readonly #options: FleetOptions;
  readonly #listener: FleetListener;
  readonly #links = new Map<string, NodeLink>();
  readonly #examination: NodeJS.Timeout;
  #members = new Map<string, Member>();
  /** not in the table any more, but with requests on the way */
  readonly #leaving = new Map<string, Member>();

  constructor(options: FleetOptions, listener: FleetListener) {
    this.#options = options;
    this.#listener = listener;
    this.#examination = setInterval(() => this.#examine(), EXAMINE_MS);
  }

  /** Connects to what is new in the table, and lets go of what it does not name any more. */
  adopt(table: RoutingTable): void {
    const addresses = new Map(table.nodes.map((node) => [node.nodeId, node]));
    const before = this.#members;
    this.#members = new Map();
    for (const { deployment, endpoints } of table.deployments) {
      for (const endpoint of endpoints) {
        const address = addresses.get(endpoint.nodeId) ?? null;
        const key = this.#keyOf(endpoint, address);
        if (key === null) continue; // its node has not said where it listens
        const member =
          before.get(key) ?? this.#leaving.get(key) ?? this.#join(key, deployment, { endpoint, address });
        this.#leaving.delete(key);
        this.#members.set(key, member);
      }
    }
    for (const [key, member] of before) {
      if (this.#members.has(key)) continue;
      this.#leaving.set(key, member);
      this.#letGo(key);
    }
    this.#closeUnusedLinks();
  }

  /** The replicas of each deployment that has some, on this node and elsewhere. */
  targets(): ReadonlyMap<string, DeploymentTargets> {
    const targets = new Map<string, { readonly near: Target[]; readonly far: Target[] }>();
    for (const { deployment, local, target } of this.#members.values()) {
      const of = targets.get(deployment) ?? { near: [], far: [] };
      targets.set(deployment, of);
      (local === null ? of.far : of.near).push(target);
    }
    return targets;
  }

  /** A replica of this node; null where the table names none of that id here. */
  localTarget(replicaId: string): Target | null {
    const member = this.#members.get(replicaId);
    return member?.local === null ? null : (member?.target ?? null);
  }

  /** What other nodes may send here now. */
  readyHere(): readonly ReadyReplica[] {
    return [...this.#members.values()].flatMap(({ local, target }) =>
      local === null || local.limit === 0 ? [] : [{ replica: target.replicaId, max_ongoing: local.limit }],
    );
  }

  /** Proves itself anew to every other node: see NodeLink.renew. */
  async renewLinks(): Promise<void> {
    await Promise.all([...this.#links.values()].map((link) => link.renew()));
  }

  /** Something happened in the sockets' folder: who waits to connect tries now. */
  hurry(): void {
    for (const { local } of this.#members.values()) local?.hurry();
  }

  /** Cuts every connection. Idempotent. */
  close(): void {
    clearInterval(this.#examination);
    for (const member of [...this.#members.values(), ...this.#leaving.values()]) this.#dismiss(member);
    this.#members.clear();
    this.#leaving.clear();
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
  }

  /** Replicas of this node by id; others with their node's address, since another address is another connection. */
  #keyOf(endpoint: Endpoint, address: NodeAddress | null): string | null {
    if (endpoint.nodeId === this.#options.nodeId) return endpoint.replicaId;
    return address === null ? null : `${endpoint.replicaId}@${linkKeyOf(address)}`;
  }

  #join(
    key: string,
    deployment: string,
    place: { readonly endpoint: Endpoint; readonly address: NodeAddress | null },
  ): Member {
    const { endpoint, address } = place;
    const { nodeId, socketsDir, random, log } = this.#options;
    const onRoom = () => this.#onRoom(key, deployment);
    if (endpoint.nodeId !== nodeId && address !== null) {
      const carrier = this.#linkTo(address).carrier(endpoint.replicaId);
      return {
        deployment,
        target: new Target(endpoint, carrier, onRoom),
        local: null,
        linkKey: linkKeyOf(address),
      };
    }
    const socketPath = replicaSocket(socketsDir, endpoint.replicaId);
    const { replicaId } = endpoint;
    const local = new LocalReplica({ replicaId, socketPath, nodeId, random, log }, () => {
      this.#listener.onLocalChange();
      onRoom();
    });
    return { deployment, target: new Target(endpoint, local, onRoom), local, linkKey: null };
  }

  #linkTo(address: NodeAddress): NodeLink {
    const key = linkKeyOf(address);
    const known = this.#links.get(key);
    if (known !== undefined) return known;
    const { nodeId, linkKeys, tls, random, log } = this.#options;
    const link = new NodeLink({ peer: address, nodeId, linkKeys, tls, random, log }, () => {
      const there = [...this.#members.values()].filter((member) => member.linkKey === key);
      for (const deployment of new Set(there.map((member) => member.deployment))) {
        this.#listener.onRoom(deployment);
      }
    });
    this.#links.set(key, link);
    return link;
  }

  #onRoom(key: string, deployment: string): void {
    if (this.#letGo(key)) this.#closeUnusedLinks();
    this.#listener.onRoom(deployment);
  }

  /** Ends the connection of one that leaves and has nothing left to do. */
  #letGo(key: string): boolean {
    const member = this.#leaving.get(key);
    if (member === undefined || member.target.inFlight > 0) return false;
    this.#leaving.delete(key);
    this.#dismiss(member);
    return true;
  }

  #closeUnusedLinks(): void {
    const used = new Set(
      [...this.#members.values(), ...this.#leaving.values()].map((member) => member.linkKey),
    );
    for (const [key, link] of this.#links) {
      if (used.has(key)) continue;
      this.#links.delete(key);
      link.close();
    }
  }

  #dismiss(member: Member): void {
    member.target.close();
    member.local?.close();
  }

  #examine(): void {
    const nowMs = performance.now();
    for (const { local } of this.#members.values()) local?.examine(nowMs);
  }
}

function linkKeyOf(address: NodeAddress): string {
  return `${address.nodeId}@${address.host}:${address.linkPort}`;
}
