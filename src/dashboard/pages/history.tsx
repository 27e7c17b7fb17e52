import { useEffect, useRef, useState } from 'preact/hooks';
import type { ApplyAnswer, Mistaken, RevisionDetail, RevisionDiff } from '../../admin/types.ts';
import type { RevisionSummary } from '../../cluster/status/types.ts';
import { messageOf, readOnly, send } from '../app/api.ts';
import { status } from '../app/live.ts';
import { linkTo } from '../app/router.ts';
import { usePolled } from '../app/use-polled.ts';
import { countText, dateTimeText, namesText } from '../app/words.ts';
import { Badge } from '../parts/badge.tsx';
import { Card, Empty, Notice } from '../parts/card.tsx';
import { Changes } from '../parts/changes.tsx';
import { Rollout } from '../parts/rollout.tsx';

const EVERY_MS = 10_000;

/** Revisions, newest first: how each differs from what is in force, and the way back to it. */
export function HistoryView() {
  const newest = status.value?.revision ?? 0;
  const { data, error } = usePolled<{ readonly revisions: readonly RevisionSummary[] }>(
    `revisions?newest=${newest}`,
    EVERY_MS,
  );
  const [shown, show] = useState<number | null>(null);
  const [applied, setApplied] = useState<ApplyAnswer | null>(null);
  const back = (answer: ApplyAnswer): void => {
    show(null);
    setApplied(answer);
  };
  return (
    <>
      {applied !== null && <WentBack key={applied.revision} answer={applied} />}
      {error !== null && <Notice tone="bad" title={error} />}
      {data === null ? (
        <Empty>Asking the head …</Empty>
      ) : (
        <Revisions revisions={data.revisions} newest={newest} shown={shown} show={show} back={back} />
      )}
    </>
  );
}

/** Takes the focus: the button that was pressed is gone. */
function WentBack({ answer: { revision, deployments } }: { readonly answer: ApplyAnswer }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => box.current?.focus(), []);
  return (
    <div ref={box} tabIndex={-1}>
      <Card title={`Back, by revision ${revision}`}>
        <Rollout revision={revision} deployments={deployments} />
      </Card>
    </div>
  );
}

function Revisions({
  revisions,
  newest,
  shown,
  show,
  back,
}: {
  readonly revisions: readonly RevisionSummary[];
  readonly newest: number;
  readonly shown: number | null;
  readonly show: (revision: number | null) => void;
  readonly back: (answer: ApplyAnswer) => void;
}) {
  if (revisions.length === 0) {
    return (
      <Empty>
        Nothing has been applied yet. Write a first conf.ini under <a href={linkTo('configuration')}>Edit</a>.
      </Empty>
    );
  }
  return (
    <Card>
      <ol class="stack" style={{ listStyle: 'none', margin: 0, padding: 0 }}>
        {revisions.map((revision) => (
          <li key={revision.number} class="stack">
            <RevisionLine
              revision={revision}
              isShown={shown === revision.number}
              toggle={() => show(shown === revision.number ? null : revision.number)}
            />
            {shown === revision.number && (
              <Comparison revision={revision.number} newest={newest} back={back} />
            )}
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
      {!isNewest && inForce.length > 0 && (
        <Badge tone="warn">serves {namesText(inForce, 'deployment')}</Badge>
      )}
      <span class="small">{dateTimeText(createdAt)}</span>
      <span class="quiet small">
        {source} · {countText(deployments.length, 'deployment')}
      </span>
      <button type="button" style={{ marginLeft: 'auto' }} aria-expanded={isShown} onClick={toggle}>
        {isNewest ? 'Show' : 'Compare'}
      </button>
    </div>
  );
}

function Comparison({
  revision,
  newest,
  back,
}: {
  readonly revision: number;
  readonly newest: number;
  readonly back: (answer: ApplyAnswer) => void;
}) {
  const isNewest = revision === newest;
  const before = isNewest ? Math.max(1, revision - 1) : newest;
  const { data, error } = usePolled<RevisionDiff>(
    revision === before ? null : `diff?from=${before}&to=${revision}`,
    60_000,
  );
  const [refusal, setRefusal] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const rollBack = async (): Promise<void> => {
    if (isBusy) return;
    setBusy(true);
    setRefusal(await rollBackTo(revision, newest, back));
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
      <ConfText revision={revision} />
      {!isNewest && readOnly.value !== null && <p class="quiet small">{readOnly.value}</p>}
      {!isNewest && readOnly.value === null && (
        <div class="row">
          <button type="button" class="primary" aria-disabled={isBusy} onClick={rollBack}>
            Roll back to {revision}
          </button>
          {refusal !== null && <span role="alert">{refusal}</span>}
        </div>
      )}
    </div>
  );
}

/** Asked for when it is opened. */
function ConfText({ revision }: { readonly revision: number }) {
  const [isOpen, setOpen] = useState(false);
  const { data, error } = usePolled<RevisionDetail>(isOpen ? `revisions/${revision}` : null, 60_000);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>conf.ini of revision {revision}</summary>
      <pre>{error ?? data?.confText ?? 'Asking the head …'}</pre>
    </details>
  );
}

/** @returns why it was refused */
async function rollBackTo(
  revision: number,
  base: number,
  back: (answer: ApplyAnswer) => void,
): Promise<string | null> {
  try {
    const answer = await send<ApplyAnswer | Mistaken>('POST', `revisions/${revision}/rollback`, { base });
    if (!answer.ok) return answer.mistakes.join('; ');
    back(answer);
    return null;
  } catch (failure) {
    return messageOf(failure);
  }
}
