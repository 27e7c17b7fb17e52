import { status } from '../app/live.ts';
import { linkTo } from '../app/router.ts';
import { agoText, dateTimeText, percentText } from '../app/words.ts';
import { PhaseBadge } from '../parts/badge.tsx';
import { Card, Empty, Notice } from '../parts/card.tsx';
import { LogView } from '../parts/log-view.tsx';
import { ReplicaContents } from '../parts/replica-contents.tsx';
import { ReplicaGpus } from '../parts/replica-gpus.tsx';

export function ReplicaPage({ rest: [id = ''] }: { readonly rest: readonly string[] }) {
  const cluster = status.value;
  if (cluster === null) return <Empty>Asking the head …</Empty>;
  const deployment = cluster.deployments.find((one) => one.replicas.some((replica) => replica.id === id));
  const replica = deployment?.replicas.find((one) => one.id === id);
  if (deployment === undefined || replica === undefined) {
    return (
      <Empty>
        There is no replica {id} any more. <a href={linkTo('deployments')}>To the deployments</a>
      </Empty>
    );
  }
  const {
    node,
    pid,
    phase,
    message,
    revision,
    gpus,
    restarts,
    since,
    started_at: startedAt,
    error,
  } = replica;
  return (
    <>
      <div class="head">
        <h1>
          <a href={linkTo('deployment', deployment.name)}>{deployment.name}</a> · {id}
        </h1>
        <PhaseBadge phase={phase} />
      </div>
      {message !== '' && (
        <Notice tone={phase === 'failed' ? 'bad' : 'busy'} title={message}>
          {null}
        </Notice>
      )}
      <Card title="Replica">
        <dl>
          <dt>Node</dt>
          <dd class="mono">{node}</dd>
          <dt>Process</dt>
          <dd class="number">{pid ?? 'none now'}</dd>
          <dt>Revision</dt>
          <dd class="number">{revision}</dd>
          <dt>GPUs</dt>
          <dd>
            {gpus.length === 0
              ? 'none'
              : gpus.map(({ index, fraction }) => `GPU ${index}: ${percentText(fraction)}`).join(', ')}
          </dd>
          <dt>Restarts</dt>
          <dd class="number">{restarts}</dd>
          <dt>In this phase</dt>
          <dd>{agoText(since, Date.now()).replace(' ago', '')}</dd>
          <dt>Started</dt>
          <dd>{startedAt === null ? 'not yet' : dateTimeText(startedAt)}</dd>
        </dl>
      </Card>
      <ReplicaGpus replica={id} />
      {error !== null && (
        <Card title="What it said when it failed last">
          <pre>{error}</pre>
        </Card>
      )}
      <LogView deployment={deployment.name} replica={id} />
      <ReplicaContents key={revision} replica={id} node={node} />
    </>
  );
}
