import type { DeploymentStatus, ReplicaDetail } from '../../cluster/status/types.ts';
import { readOnly } from '../app/api.ts';
import { status } from '../app/live.ts';
import { linkTo } from '../app/router.ts';
import { agoText, dateTimeText, percentText } from '../app/words.ts';
import { HealthBadge, PhaseBadge, toneOf } from '../parts/badge.tsx';
import { Card, Empty, Notice } from '../parts/card.tsx';
import { LogView } from '../parts/log-view.tsx';
import { Pages } from '../parts/pages.tsx';
import { Scroll } from '../parts/scroll.tsx';
import { SeriesCharts } from '../parts/series-charts.tsx';
import { TryIt } from '../parts/try-it.tsx';
import { reasonOf } from './problems.ts';

export function DeploymentPage({ rest: [name = ''] }: { readonly rest: readonly string[] }) {
  const cluster = status.value;
  if (cluster === null) return <Empty>Asking the head …</Empty>;
  const deployment = cluster.deployments.find((one) => one.name === name);
  if (deployment === undefined) {
    return (
      <Empty>
        There is no deployment {name}. <a href={linkTo('deployments')}>To the deployments</a>
      </Empty>
    );
  }
  const ingress =
    cluster.nodes.find(({ alive, role }) => alive && role === 'head') ??
    cluster.nodes.find(({ alive }) => alive);
  return (
    <>
      <div class="head">
        <div>
          <h1>{name}</h1>
          <span class="mono quiet">
            {deployment.methods.join(', ')} {deployment.route}
          </span>
        </div>
        <HealthBadge health={deployment.status} />
      </div>
      <State deployment={deployment} />
      <SeriesCharts deployment={name} />
      <Replicas deployment={deployment} />
      {readOnly.value === null && (
        <TryIt deployment={deployment} address={`${ingress?.http ?? ''}${deployment.route}`} />
      )}
      <LostRequests deployment={deployment} />
      <LogView deployment={name} />
    </>
  );
}

function State({ deployment }: { readonly deployment: DeploymentStatus }) {
  const { status: health, error, revision, serving_revision: serving, ready, target } = deployment;
  const message = reasonOf(deployment);
  const standing = `Revision ${revision ?? '–'} is wanted, ${serving === null ? 'none serves' : `${serving} serves`}; ${ready} of ${target} replicas are ready.`;
  return (
    <>
      <Notice tone={toneOf(health) || 'busy'} title={standing}>
        {message !== '' && <p>{message}</p>}
        {health === 'DEPLOY_FAILED' && (
          <p class="small">
            <a href={linkTo('configuration', 'history')}>Go back to an earlier revision</a>
          </p>
        )}
      </Notice>
      {error !== null && (
        <Card title="Why the change failed">
          <pre>{error}</pre>
        </Card>
      )}
    </>
  );
}

const ROWS = 25;

function Replicas({ deployment: { replicas } }: { readonly deployment: DeploymentStatus }) {
  return (
    <Card title="Replicas">
      {replicas.length === 0 ? (
        <Empty>There are none now.</Empty>
      ) : (
        <Pages items={replicas} size={ROWS} name="the replicas">
          {(page) => <ReplicaTable replicas={page} />}
        </Pages>
      )}
    </Card>
  );
}

function ReplicaTable({ replicas }: { readonly replicas: readonly ReplicaDetail[] }) {
  return (
    <Scroll name="Replicas">
      <table>
        <thead>
          <tr>
            <th scope="col">Replica</th>
            <th scope="col">Phase</th>
            <th scope="col">Node</th>
            <th scope="col">GPU</th>
            <th scope="col" class="number">
              Revision
            </th>
            <th scope="col" class="number">
              Restarts
            </th>
            <th scope="col">Since</th>
            <th scope="col">What it says</th>
          </tr>
        </thead>
        <tbody>
          {replicas.map(({ id, phase, node, gpus, revision, restarts, since, message }) => (
            <tr key={id}>
              <td>
                <a href={linkTo('replicas', id)}>{id}</a>
              </td>
              <td>
                <PhaseBadge phase={phase} />
              </td>
              <td class="mono">{node}</td>
              <td>
                {gpus.map(({ index, fraction }) => `${index}: ${percentText(fraction)}`).join(', ') || '–'}
              </td>
              <td class="number">{revision}</td>
              <td class="number">{restarts}</td>
              <td style={{ whiteSpace: 'nowrap' }}>{agoText(since, Date.now())}</td>
              <td class="small">{message}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function LostRequests({ deployment: { lost_requests: lost } }: { readonly deployment: DeploymentStatus }) {
  if (lost.length === 0) return null;
  return (
    <Card title="Requests that replicas died with">
      <p class="quiet small">One of them may be what they died of.</p>
      <Scroll name="Requests that replicas died with">
        <table>
          <thead>
            <tr>
              <th scope="col">Request</th>
              <th scope="col">Path</th>
              <th scope="col" class="number">
                Deaths
              </th>
              <th scope="col">When</th>
            </tr>
          </thead>
          <tbody>
            {lost.map(({ request_id: id, path, deaths, at }) => (
              <tr key={id}>
                <td class="mono">{id}</td>
                <td class="mono">{path}</td>
                <td class="number">{deaths}</td>
                <td>{dateTimeText(at)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </Card>
  );
}
