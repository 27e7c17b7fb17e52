import type { StatusDocument } from '../../cluster/status/types.ts';
import type { StatusChanges } from '../types.ts';

/** A status with the text of its parts, by which it is seen what has changed. */
export interface Pictured {
  readonly document: StatusDocument;
  readonly head: string;
  readonly nodes: ReadonlyMap<string, string>;
  readonly deployments: ReadonlyMap<string, string>;
}

export function picture(document: StatusDocument): Pictured {
  const { leader, revision, store, token_rotation: rotation, nodes, deployments } = document;
  return {
    document,
    head: JSON.stringify([leader, revision, store, rotation]),
    nodes: new Map(nodes.map((node) => [node.id, JSON.stringify(node)])),
    deployments: new Map(deployments.map((one) => [one.name, JSON.stringify(one)])),
  };
}

/** @returns null where nothing has changed */
export function changesBetween(before: Pictured, after: Pictured): StatusChanges | null {
  const { leader, revision, store, token_rotation } = after.document;
  const changes = {
    ...{ leader, revision, store, token_rotation },
    nodes: after.document.nodes.filter(({ id }) => before.nodes.get(id) !== after.nodes.get(id)),
    deployments: after.document.deployments.filter(
      ({ name }) => before.deployments.get(name) !== after.deployments.get(name),
    ),
    goneNodes: [...before.nodes.keys()].filter((id) => !after.nodes.has(id)),
    goneDeployments: [...before.deployments.keys()].filter((name) => !after.deployments.has(name)),
  };
  const { nodes, deployments, goneNodes, goneDeployments } = changes;
  const isSame =
    before.head === after.head &&
    nodes.length + deployments.length + goneNodes.length + goneDeployments.length === 0;
  return isSame ? null : changes;
}
