import type { NodeAssignment } from '../cluster/replicas/types.ts';
import type { RoutingTable } from '../cluster/routing/types.ts';
import type { StoreConnection } from './connection.ts';
import type { StoreKeys } from './keys.ts';
import { eventsText, parseRecord } from './records.ts';
import { runScript, type ScriptCall, type ScriptName } from './scripts.ts';
import { type AgentStore, type IngressStore, NODE_LEASE_MS } from './types.ts';

/** What agent and ingress of a node write and read. */
export function createNodeStore(connection: StoreConnection, keys: StoreKeys): AgentStore & IngressStore {
  const script = (action: string, name: ScriptName, call: ScriptCall): Promise<unknown> =>
    connection.run(action, (redis) => runScript(redis, name, call));

  return {
    async publishNode(record) {
      const { nodeId, role, host } = record;
      await script(`publish node ${nodeId}`, 'publish-node', {
        keys: [keys.nodeLease(nodeId), keys.nodes(), keys.events()],
        args: [
          nodeId,
          JSON.stringify(record),
          NODE_LEASE_MS,
          eventsText([{ type: 'node-joined', fields: { nodeId, role, host } }]),
          keys.hints('nodes'),
        ],
      });
    },
    async renewNode(nodeId) {
      // One plain command, since it is what a node costs at rest: lease and record only ever go together.
      const renewed = await connection.run(`renew node ${nodeId}`, (redis) =>
        redis.pexpire(keys.nodeLease(nodeId), NODE_LEASE_MS),
      );
      return renewed === 1;
    },
    async publishReport(report) {
      await script(`publish the report of node ${report.nodeId}`, 'put-field', {
        keys: [keys.reports()],
        args: [report.nodeId, JSON.stringify(report), keys.hints('reports')],
      });
    },
    async removeNode(nodeId) {
      await script(`remove node ${nodeId}`, 'remove-node', {
        keys: [keys.nodeLease(nodeId), keys.nodes(), keys.reports(), keys.ingresses(), keys.events()],
        args: [nodeId, eventsText([{ type: 'node-left', fields: { nodeId } }]), keys.hints('nodes')],
      });
    },
    async readAssignment(nodeId) {
      const action = `read the assignment of node ${nodeId}`;
      const text = await connection.run(action, (redis) => redis.hget(keys.assignments(), nodeId));
      return text === null ? null : parseRecord<NodeAssignment>(text, keys.assignments());
    },
    async readRouting() {
      const text = await connection.run('read the routing table', (redis) => redis.get(keys.routing()));
      return text === null ? null : parseRecord<RoutingTable>(text, keys.routing());
    },
    async publishIngress(entry) {
      await script(`publish the ingress of node ${entry.nodeId}`, 'put-field', {
        keys: [keys.ingresses()],
        args: [entry.nodeId, JSON.stringify(entry), keys.hints('ingresses')],
      });
    },
  };
}
