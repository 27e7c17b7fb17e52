import { useMemo, useState } from 'preact/hooks';
import type { GpuDetail } from '../../admin/types.ts';
import type { DeploymentStatus, GpuStatus, NodeStatus } from '../../cluster/status/types.ts';
import { status } from '../app/live.ts';
import { type PlacedReplica, replicasByNode } from '../app/replicas-by-node.ts';
import { linkTo } from '../app/router.ts';
import { usePolled } from '../app/use-polled.ts';
import { countText } from '../app/words.ts';
import { Badge } from '../parts/badge.tsx';
import { Card, Empty, Notice } from '../parts/card.tsx';
import { GpuBar, type Slice } from '../parts/gpu-bar.tsx';
import { Pages } from '../parts/pages.tsx';

/** A card has a picture of each of its GPUs. */
const CARDS = 12;
const WAITING_SHOWN = 6;
const LINKS_SHOWN = 30;
/** As often as nodes say what they measured. */
const EVERY_MS = 10_000;

export function NodesPage() {
  const cluster = status.value;
  const [wanted, setWanted] = useState('');
  const replicas = useMemo(() => (cluster === null ? null : replicasByNode(cluster)), [cluster]);
  if (cluster === null || replicas === null) return <Empty>Asking the head …</Empty>;
  const shown = cluster.nodes.filter(({ id, hostname, address }) =>
    `${id} ${hostname} ${address}`.toLowerCase().includes(wanted.toLowerCase()),
  );
  return (
    <>
      <div class="head">
        <h1>Nodes</h1>
        <span class="quiet">{countText(cluster.nodes.length, 'node')}</span>
        <label style={{ width: 'min(100%, 260px)' }}>
          <input
            type="search"
            placeholder="Find"
            aria-label="Find a node"
            value={wanted}
            onInput={(event) => setWanted(event.currentTarget.value)}
          />
        </label>
      </div>
      {cluster.deployments.length === 0 && (
        <p class="quiet">
          Nothing runs on {cluster.nodes.length === 1 ? 'it' : 'them'} yet: the{' '}
          <a href={linkTo()}>Overview</a> has the first steps. Further machines join with{' '}
          <code>modelserve worker</code>, as the head says when it starts.
        </p>
      )}
      <Waiting deployments={cluster.deployments.filter(({ status: health }) => health === 'PENDING')} />
      <Pages items={shown} size={CARDS} name="the nodes">
        {(page) => <NodeCards nodes={page} leader={cluster.leader} replicas={replicas} />}
      </Pages>
    </>
  );
}

function Waiting({ deployments }: { readonly deployments: readonly DeploymentStatus[] }) {
  return (
    <>
      {deployments.slice(0, WAITING_SHOWN).map(({ name, message }) => (
        <Notice key={name} tone="warn" title={<a href={linkTo('deployment', name)}>{name} waits for room</a>}>
          <p>{message}</p>
        </Notice>
      ))}
      {deployments.length > WAITING_SHOWN && (
        <Notice tone="warn" title={`… and ${deployments.length - WAITING_SHOWN} more wait for room`} />
      )}
    </>
  );
}

function NodeCards({
  nodes,
  leader,
  replicas,
}: {
  readonly nodes: readonly NodeStatus[];
  readonly leader: string | null;
  readonly replicas: ReadonlyMap<string, readonly PlacedReplica[]>;
}) {
  // What no driver knows has no figures.
  const asked = nodes.filter(({ gpus }) => gpus.some((gpu) => !gpu.virtual)).map(({ id }) => id);
  const query = asked.length === 0 ? null : `gpus?node=${encodeURIComponent(asked.join())}`;
  const { data } = usePolled<{ readonly gpus: readonly GpuDetail[] }>(query, EVERY_MS);
  return (
    <div class="grid">
      {nodes.map((node) => (
        <NodeCard
          key={node.id}
          node={node}
          isLeader={leader === node.id}
          replicas={replicas.get(node.id) ?? []}
          uses={data?.gpus.filter((gpu) => gpu.node === node.id) ?? []}
        />
      ))}
    </div>
  );
}

function NodeCard({
  node,
  isLeader,
  replicas,
  uses,
}: {
  readonly node: NodeStatus;
  readonly isLeader: boolean;
  readonly replicas: readonly PlacedReplica[];
  readonly uses: readonly GpuDetail[];
}) {
  return (
    <Card
      title={node.hostname}
      label={`${node.hostname}, node ${node.id}`}
      aside={<NodeBadge node={node} isLeader={isLeader} />}
    >
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
          {replicas.slice(0, LINKS_SHOWN).map(({ id }) => (
            <span key={id}>
              <a href={linkTo('replicas', id)}>{id}</a>{' '}
            </span>
          ))}
          {replicas.length > LINKS_SHOWN && `and ${replicas.length - LINKS_SHOWN} more`}
        </dd>
      </dl>
      {node.gpus.length === 0 ? (
        <p class="quiet small">No GPU</p>
      ) : (
        node.gpus.map((gpu) => (
          <GpuBar
            key={gpu.uuid}
            gpu={gpu}
            slices={slicesOf(gpu, replicas)}
            use={uses.find(({ uuid }) => uuid === gpu.uuid) ?? null}
          />
        ))
      )}
    </Card>
  );
}

function slicesOf({ uuid }: GpuStatus, replicas: readonly PlacedReplica[]): readonly Slice[] {
  return replicas.flatMap(({ id, deployment, gpus }) =>
    gpus
      .filter((slice) => slice.uuid === uuid)
      .map(({ fraction }) => ({ deployment, replica: id, fraction })),
  );
}

function NodeBadge({ node, isLeader }: { readonly node: NodeStatus; readonly isLeader: boolean }) {
  const role = isLeader ? `${node.role}, leads` : node.role;
  if (!node.alive) return <Badge tone="bad">{role}: does not answer</Badge>;
  if (node.draining) return <Badge tone="busy">{role}: leaves</Badge>;
  return <Badge tone="good">{role}</Badge>;
}
