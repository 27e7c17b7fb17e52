import { useState } from 'preact/hooks';
import type { ApplyAnswer, Mistaken, RevisionDiff } from '../../admin/types.ts';
import type { RevisionSummary } from '../../cluster/status/types.ts';
import { messageOf, readOnly, send } from '../app/api.ts';
import { status } from '../app/live.ts';
import { usePolled } from '../app/use-polled.ts';
import { dateTimeText } from '../app/words.ts';
import { Badge } from '../parts/badge.tsx';
import { Card, Empty, Notice } from '../parts/card.tsx';
import { Changes } from '../parts/changes.tsx';

const EVERY_MS = 10_000;

/** Revisions, newest first: how each differs from what is in force, and the way back to it. */
export function HistoryView() {
  const newest = status.value?.revision ?? 0;
  const { data, error } = usePolled<{ readonly revisions: readonly RevisionSummary[] }>(
    `revisions?newest=${newest}`,
    EVERY_MS,
  );
  const [shown, show] = useState<number | null>(null);
  if (error !== null) return <Notice tone="bad" title={error} />;
  if (data === null) return <Empty>Asking the head …</Empty>;
  if (data.revisions.length === 0) return <Empty>Nothing has been applied yet.</Empty>;
  return (
    <Card>
      <ol class="stack" style={{ listStyle: 'none', margin: 0, padding: 0 }}>
        {data.revisions.map((revision) => (
          <li key={revision.number} class="stack">
            <RevisionLine
              revision={revision}
              isShown={shown === revision.number}
              toggle={() => show(shown === revision.number ? null : revision.number)}
            />
            {shown === revision.number && <Comparison revision={revision.number} newest={newest} />}
          </li>
        ))}
      </ol>
    </Card>
  );
}

function RevisionLine({
  revision,
  isShown,
  toggle,
}: {
  readonly revision: RevisionSummary;
  readonly isShown: boolean;
  readonly toggle: () => void;
}) {
  const { number, createdAt, confPath, origin, deployments, inForce, isNewest } = revision;
  const source =
    origin.kind === 'rollback' ? `back to ${origin.of}` : origin.kind === 'edited' ? 'edited here' : confPath;
  return (
    <div class="row">
      <strong class="number">{number}</strong>
      {isNewest && <Badge tone="good">newest</Badge>}
      {!isNewest && inForce.length > 0 && <Badge tone="warn">serves {inForce.join(', ')}</Badge>}
      <span class="small">{dateTimeText(createdAt)}</span>
      <span class="quiet small">
        {source} · {deployments.length === 1 ? '1 deployment' : `${deployments.length} deployments`}
      </span>
      <button type="button" style={{ marginLeft: 'auto' }} aria-expanded={isShown} onClick={toggle}>
        {isNewest ? 'Show' : 'Compare'}
      </button>
    </div>
  );
}

function Comparison({ revision, newest }: { readonly revision: number; readonly newest: number }) {
  const isNewest = revision === newest;
  const before = isNewest ? Math.max(1, revision - 1) : newest;
  const { data, error } = usePolled<RevisionDiff>(
    revision === before ? null : `diff?from=${before}&to=${revision}`,
    60_000,
  );
  const [outcome, setOutcome] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const rollBack = async (): Promise<void> => {
    setBusy(true);
    setOutcome(await rolledBack(revision, newest));
    setBusy(false);
  };
  if (error !== null) return <Notice tone="bad" title={error} />;
  return (
    <div class="stack" style={{ paddingLeft: '18px', borderLeft: '3px solid var(--line)' }}>
      <p class="quiet small">
        {isNewest
          ? `What revision ${revision} changed:`
          : `What going back from ${newest} to ${revision} would change:`}
      </p>
      {data === null ? (
        <p class="quiet">{revision === before ? 'It is the first one.' : '…'}</p>
      ) : (
        <Changes changes={data.changes} settings={data.settings} />
      )}
      {!isNewest && readOnly.value !== null && <p class="quiet small">{readOnly.value}</p>}
      {!isNewest && readOnly.value === null && (
        <div class="row">
          <button type="button" class="primary" disabled={isBusy} onClick={rollBack}>
            Roll back to {revision}
          </button>
          {outcome !== null && <span role="status">{outcome}</span>}
        </div>
      )}
    </div>
  );
}

async function rolledBack(revision: number, base: number): Promise<string> {
  try {
    const answer = await send<ApplyAnswer | Mistaken>('POST', `revisions/${revision}/rollback`, { base });
    return answer.ok ? `Revision ${answer.revision} is on its way.` : answer.mistakes.join('; ');
  } catch (failure) {
    return messageOf(failure);
  }
}
