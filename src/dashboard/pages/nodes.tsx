import type { NodeStatus, StatusDocument } from '../../cluster/status/types.ts';
import { status } from '../app/live.ts';
import { linkTo } from '../app/router.ts';
import { countText } from '../app/words.ts';
import { Badge } from '../parts/badge.tsx';
import { Card, Empty, Notice } from '../parts/card.tsx';
import { GpuBar, slicesOn } from '../parts/gpu-bar.tsx';

export function NodesPage() {
  const cluster = status.value;
  if (cluster === null) return <Empty>Asking the head …</Empty>;
  const waiting = cluster.deployments.filter(({ status: health }) => health === 'PENDING');
  return (
    <>
      <div class="head">
        <h1>Nodes</h1>
        <span class="quiet">{countText(cluster.nodes.length, 'node')}</span>
      </div>
      {waiting.map(({ name, message }) => (
        <Notice key={name} tone="warn" title={<a href={linkTo('deployment', name)}>{name} waits for room</a>}>
          <p>{message}</p>
        </Notice>
      ))}
      <div class="grid">
        {cluster.nodes.map((node) => (
          <NodeCard key={node.id} node={node} cluster={cluster} />
        ))}
      </div>
    </>
  );
}

function NodeCard({ node, cluster }: { readonly node: NodeStatus; readonly cluster: StatusDocument }) {
  const slices = slicesOn(cluster, node.id);
  const replicas = cluster.deployments.flatMap((one) =>
    one.replicas.filter((replica) => replica.node === node.id),
  );
  return (
    <Card title={node.hostname} aside={<NodeBadge node={node} isLeader={cluster.leader === node.id} />}>
      <dl class="small">
        <dt>Node</dt>
        <dd class="mono">{node.id}</dd>
        <dt>Ingress</dt>
        <dd class="mono">{node.http}</dd>
        <dt>CPUs</dt>
        <dd>{node.cpus}</dd>
        <dt>Replicas</dt>
        <dd>
          {replicas.length === 0 && 'none'}
          {replicas.map(({ id }) => (
            <span key={id}>
              <a href={linkTo('replicas', id)}>{id}</a>{' '}
            </span>
          ))}
        </dd>
      </dl>
      {node.gpus.length === 0 ? (
        <p class="quiet small">No GPU</p>
      ) : (
        node.gpus.map((gpu) => <GpuBar key={gpu.uuid} gpu={gpu} slices={slices.get(gpu.uuid) ?? []} />)
      )}
    </Card>
  );
}

function NodeBadge({ node, isLeader }: { readonly node: NodeStatus; readonly isLeader: boolean }) {
  const role = isLeader ? `${node.role}, leads` : node.role;
  if (!node.alive) return <Badge tone="bad">{role}: does not answer</Badge>;
  if (node.draining) return <Badge tone="busy">{role}: leaves</Badge>;
  return <Badge tone="good">{role}</Badge>;
}
