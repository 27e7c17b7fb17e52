import { useState } from 'preact/hooks';
import type { DeploymentTick } from '../../cluster/metrics/series.ts';
import type { DeploymentStatus } from '../../cluster/status/types.ts';
import { status, tick } from '../app/live.ts';
import { linkTo } from '../app/router.ts';
import { millisecondsText, otherPhases, percentText, rateText } from '../app/words.ts';
import { HealthBadge } from '../parts/badge.tsx';
import { Card, Empty } from '../parts/card.tsx';
import { FirstSteps } from '../parts/first-steps.tsx';
import { Pages } from '../parts/pages.tsx';
import { Scroll } from '../parts/scroll.tsx';

const ROWS = 25;

export function DeploymentsPage() {
  const cluster = status.value;
  const [wanted, setWanted] = useState('');
  if (cluster === null) return <Empty>Asking the head …</Empty>;
  const shown = cluster.deployments.filter(({ name, route }) =>
    `${name} ${route}`.toLowerCase().includes(wanted.toLowerCase()),
  );
  return (
    <>
      <div class="head">
        <h1>Deployments</h1>
        <label style={{ width: 'min(100%, 260px)' }}>
          <input
            type="search"
            placeholder="Find"
            aria-label="Find a deployment"
            value={wanted}
            onInput={(event) => setWanted(event.currentTarget.value)}
          />
        </label>
      </div>
      <Card>
        {cluster.deployments.length === 0 ? (
          <FirstSteps />
        ) : shown.length === 0 ? (
          <Empty>No deployment has these words in its name or route.</Empty>
        ) : (
          <Pages items={shown} size={ROWS} name="the deployments">
            {(page) => <DeploymentTable deployments={page} />}
          </Pages>
        )}
      </Card>
    </>
  );
}

export function DeploymentTable({ deployments }: { readonly deployments: readonly DeploymentStatus[] }) {
  const traffic = new Map(tick.value?.deployments.map((one) => [one.name, one]));
  return (
    <Scroll name="Deployments">
      <table>
        <thead>
          <tr>
            <th scope="col">Deployment</th>
            <th scope="col">Status</th>
            <th scope="col" class="number">
              Ready
            </th>
            <th scope="col" class="number">
              Revision
            </th>
            <th scope="col" class="number">
              Requests
            </th>
            <th scope="col" class="number">
              Errors
            </th>
            <th scope="col" class="number">
              p50
            </th>
            <th scope="col" class="number">
              p95
            </th>
            <th scope="col" class="number">
              p99
            </th>
            <th scope="col" class="number">
              Queue
            </th>
          </tr>
        </thead>
        <tbody>
          {deployments.map((one) => (
            <DeploymentRow key={one.name} deployment={one} traffic={traffic.get(one.name)} />
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function DeploymentRow({
  deployment,
  traffic,
}: {
  readonly deployment: DeploymentStatus;
  readonly traffic: DeploymentTick | undefined;
}) {
  const { name, route, status: health, ready, target, replicas } = deployment;
  const { revision, serving_revision: serving } = deployment;
  return (
    <tr>
      <td>
        <a href={linkTo('deployment', name)}>
          <strong>{name}</strong>
        </a>
        <br />
        <span class="mono quiet">{route}</span>
      </td>
      <td>
        <HealthBadge health={health} />
      </td>
      <td class="number">
        {ready} / {target}
        <Phases replicas={replicas} />
      </td>
      <td class="number">
        {serving === revision || serving === null ? (revision ?? '–') : `${serving} → ${revision}`}
      </td>
      <td class="number">{rateText(traffic?.requestsPerS ?? null)}</td>
      <td class="number">{shareText(traffic)}</td>
      <td class="number">{millisecondsText(traffic?.p50Ms ?? null)}</td>
      <td class="number">{millisecondsText(traffic?.p95Ms ?? null)}</td>
      <td class="number">{millisecondsText(traffic?.p99Ms ?? null)}</td>
      <td class="number">{traffic?.queued ?? '–'}</td>
    </tr>
  );
}

/** Of the replicas that are not ready, how many do what. */
function Phases({ replicas }: Pick<DeploymentStatus, 'replicas'>) {
  const text = otherPhases(replicas);
  return text === '' ? null : <div class="quiet small">{text}</div>;
}

function shareText(traffic: DeploymentTick | undefined): string {
  if (traffic === undefined || traffic.requestsPerS === 0) return '–';
  return percentText(traffic.failuresPerS / traffic.requestsPerS);
}
