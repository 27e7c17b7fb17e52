import type { StatusDocument } from '../../cluster/status/types.ts';
import { happened, lately, status, tick } from '../app/live.ts';
import { linkTo } from '../app/router.ts';
import { countText, millisecondsText, percentText, rateText } from '../app/words.ts';
import { Card, Empty, Notice, Tile } from '../parts/card.tsx';
import { FirstSteps } from '../parts/first-steps.tsx';
import { SeriesCharts } from '../parts/series-charts.tsx';
import { DeploymentTable } from './deployments.tsx';
import { EventTable } from './events.tsx';
import { problemsOf } from './problems.ts';

/** More than these are on pages of their own. */
const PROBLEMS_SHOWN = 6;
const DEPLOYMENTS_SHOWN = 12;
const EVENTS_SHOWN = 8;

export function OverviewPage() {
  const cluster = status.value;
  if (cluster === null) return <Empty>Asking the head …</Empty>;
  const problems = problemsOf(cluster, lately.value);
  return (
    <>
      <h1>Overview</h1>
      {problems.length === 0 && cluster.deployments.length > 0 && (
        <Notice tone="good" title="Everything runs as the configuration says." />
      )}
      {problems.slice(0, PROBLEMS_SHOWN).map(({ tone, title, details, toDo, at }) => (
        <Notice key={title} tone={tone} title={<a href={linkTo(...at)}>{title}</a>}>
          {details !== '' && <p>{details}</p>}
          <p class="small">{toDo}</p>
        </Notice>
      ))}
      {problems.length > PROBLEMS_SHOWN && (
        <Notice
          tone="warn"
          title={<a href={linkTo('deployments')}>… and {problems.length - PROBLEMS_SHOWN} more</a>}
        />
      )}
      <Tiles cluster={cluster} />
      {cluster.deployments.length === 0 ? (
        <Card title="First steps">
          <FirstSteps />
        </Card>
      ) : (
        <>
          <SeriesCharts deployment={null} />
          <Card
            title="Deployments"
            aside={<a href={linkTo('deployments')}>All {cluster.deployments.length}</a>}
          >
            <DeploymentTable deployments={cluster.deployments.slice(0, DEPLOYMENTS_SHOWN)} />
          </Card>
        </>
      )}
      {happened.value.length > 0 && (
        <Card title="Just now" aside={<a href={linkTo('events')}>All events</a>}>
          <EventTable events={happened.value.slice(0, EVENTS_SHOWN)} />
        </Card>
      )}
    </>
  );
}

function Tiles({ cluster }: { readonly cluster: StatusDocument }) {
  const { nodes, deployments } = cluster;
  const traffic = tick.value?.deployments ?? [];
  const requests = traffic.reduce((sum, one) => sum + one.requestsPerS, 0);
  const failures = traffic.reduce((sum, one) => sum + one.failuresPerS, 0);
  const slowest = traffic.reduce<number | null>(
    (most, { p99Ms }) => (p99Ms === null ? most : Math.max(most ?? 0, p99Ms)),
    null,
  );
  const alive = nodes.filter((node) => node.alive);
  const cards = nodes.flatMap(({ gpus }) => gpus).filter(({ usable }) => usable);
  const ready = deployments.reduce((sum, one) => sum + one.ready, 0);
  const target = deployments.reduce((sum, one) => sum + one.target, 0);
  const free = cards.reduce((sum, one) => sum + one.free, 0);
  return (
    <div class="tiles">
      <Tile name="Requests" value={tick.value === null ? '–' : rateText(requests)} note="in all, now" />
      <Tile
        name="Failing"
        value={requests === 0 ? '–' : percentText(failures / requests)}
        note="errors and refusals"
      />
      <Tile name="Slowest p99" value={millisecondsText(slowest)} note="of all routes" />
      <Tile name="Replicas ready" value={ready.toLocaleString()} note={`of ${target.toLocaleString()}`} />
      <Tile
        name="Nodes"
        value={alive.length.toLocaleString()}
        note={alive.length === nodes.length ? countText(cards.length, 'GPU') : `of ${nodes.length}`}
      />
      <Tile
        name="GPUs free"
        value={cards.length === 0 ? '–' : free.toFixed(2)}
        note={cards.length === 0 ? 'there are none' : `of ${cards.length}`}
      />
    </div>
  );
}
