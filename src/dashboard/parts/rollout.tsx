import { useEffect, useState } from 'preact/hooks';
import type { DeploymentProgress, Progress } from '../../cluster/status/types.ts';
import { linkTo } from '../app/router.ts';
import { usePolled } from '../app/use-polled.ts';
import { durationText } from '../app/words.ts';
import { Badge, HealthBadge } from './badge.tsx';
import { Notice } from './card.tsx';

const EVERY_MS = 700;

/** A revision on its way, until it is in force or has failed. */
export function Rollout({
  revision,
  deployments,
}: {
  readonly revision: number;
  readonly deployments: readonly string[];
}) {
  const query = `progress?revision=${revision}&deployments=${deployments.map(encodeURIComponent).join(',')}`;
  const [end, setEnd] = useState<Progress | null>(null);
  const { data: now, error } = usePolled<Progress>(end === null ? query : null, EVERY_MS);
  const data = end ?? now;
  useEffect(() => {
    if (now !== null && (now.done || now.supersededBy !== null)) setEnd(now);
  }, [now]);
  const failed = data?.deployments.some((one) => one.failed) ?? false;
  if (error !== null) return <Notice tone="warn" title={error} />;
  if (data === null) return null;
  return (
    <div class="stack" role="status">
      <Notice tone={toneOf(data, failed)} title={titleOf(data, failed)} />
      {data.deployments.map((one) => (
        <Line key={one.name} deployment={one} />
      ))}
    </div>
  );
}

function Line({
  deployment: { name, status, message, error, ready, target, replicas, preparing },
}: {
  readonly deployment: DeploymentProgress;
}) {
  return (
    <div class="stack">
      <div class="row">
        <a href={linkTo('deployment', name)}>
          <strong>{name}</strong>
        </a>
        {status === 'GONE' ? <Badge tone="">gone</Badge> : <HealthBadge health={status} />}
        <span class="number quiet">
          {ready} of {target} ready
        </span>
      </div>
      {message !== '' && <p class="small">{message}</p>}
      {[
        ...replicas,
        ...preparing.map(({ node, line, forMs }) => `${node}: ${line} (${durationText(forMs / 1000)})`),
      ].map((line) => (
        <p key={line} class="small quiet">
          {line}
        </p>
      ))}
      {error !== null && <pre>{error}</pre>}
    </div>
  );
}

function toneOf({ done, supersededBy }: Progress, failed: boolean): 'bad' | 'good' | 'warn' | 'busy' {
  if (failed) return 'bad';
  if (supersededBy !== null) return 'warn';
  return done ? 'good' : 'busy';
}

function titleOf({ revision, done, supersededBy }: Progress, failed: boolean): string {
  if (supersededBy !== null) return `Revision ${supersededBy} has taken its place.`;
  if (failed) return 'It failed; what served before serves on.';
  return done ? `Revision ${revision} is in force.` : `Revision ${revision} is on its way …`;
}
