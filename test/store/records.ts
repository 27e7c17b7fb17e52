import type { NodeRecord } from '../../src/cluster/nodes/types.ts';
import type { NodeAssignment, NodeReport } from '../../src/cluster/replicas/types.ts';
import type { RoutingTable } from '../../src/cluster/routing/types.ts';
import type { Revision } from '../../src/cluster/spec/types.ts';
import type { Leadership } from '../../src/store/types.ts';

/** The smallest values of the store's types; a test says what matters to it. */
export function nodeRecord(nodeId: string): NodeRecord {
  return {
    nodeId,
    role: 'worker',
    hostname: 'host',
    host: '10.0.0.1',
    httpPort: 8000,
    linkPort: 7000,
    pid: 1,
    capacity: { cpuMilli: 2000, memoryBytes: 1, gpus: [] },
    draining: false,
    modelserveVersion: '0.1.0',
    protocols: { channel: 1, store: 1 },
    startedAtMs: 1,
  };
}

export function nodeReport(nodeId: string): NodeReport {
  return { nodeId, assignmentVersion: 1, incarnation: 'i', replicas: [] };
}

export function assignment(nodeId: string, leadership: Leadership, version = 1): NodeAssignment {
  return { nodeId, version, ...leadership, replicas: [] };
}

export function routingTable(leadership: Leadership, version: number): RoutingTable {
  return {
    version,
    ...leadership,
    revision: 1,
    ingressProcesses: 1,
    maxBodyBytes: 1,
    port: 8000,
    deployments: [],
    nodes: [],
  };
}

export function revision(number: number): Revision {
  return {
    number,
    createdAtMs: 1,
    confPath: '/conf.ini',
    confText: '[MODEL SERVE]\n',
    settings: { port: 8000, ingressProcesses: 1, maxBodyBytes: 1, metricsOpen: false, accessLog: false },
    deployments: [],
  };
}
