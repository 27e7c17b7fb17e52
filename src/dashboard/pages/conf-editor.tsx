import type { EditorView } from '@codemirror/view';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ApplyAnswer, Mistaken, PlanAnswer, RevisionDetail, Validation } from '../../admin/types.ts';
import type { RevisionSummary } from '../../cluster/status/types.ts';
import type { PlacedFinding } from '../../config/finding.ts';
import { ask, messageOf, readOnly, send } from '../app/api.ts';
import { Card, Notice } from '../parts/card.tsx';
import { Changes } from '../parts/changes.tsx';
import { openEditor } from '../parts/code-editor.ts';
import { Rollout } from '../parts/rollout.tsx';

interface Base {
  readonly revision: number;
  readonly text: string;
}

type Said =
  | { readonly kind: 'plan'; readonly plan: PlanAnswer }
  | { readonly kind: 'applied'; readonly answer: ApplyAnswer }
  | { readonly kind: 'mistakes'; readonly mistakes: readonly string[] }
  | { readonly kind: 'error'; readonly message: string };

/** conf.ini in the browser: checked as one types, planned, applied, and watched until it is in force. */
export function ConfEditor() {
  const [base, setBase] = useState<Base | null>(null);
  const [error, setError] = useState<string | null>(null);
  const load = async (): Promise<void> => {
    try {
      setBase(await newestConf());
      setError(null);
    } catch (failure) {
      setError(messageOf(failure));
    }
  };
  useEffect(() => void load(), []);
  if (error !== null) return <Notice tone="bad" title={error} />;
  if (base === null) return null;
  if (readOnly.value !== null) return <Reading base={base} reason={readOnly.value} />;
  return <Editing key={base.revision} base={base} reload={() => void load()} />;
}

function Reading({ base, reason }: { readonly base: Base; readonly reason: string }) {
  return (
    <Card title={`Revision ${base.revision}`}>
      <p class="quiet small">{reason}</p>
      <pre>{base.text}</pre>
    </Card>
  );
}

function Editing({ base, reload }: { readonly base: Base; readonly reload: () => void }) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const [text, setText] = useState(base.text);
  const [findings, setFindings] = useState<readonly PlacedFinding[]>([]);
  const [said, setSaid] = useState<Said | null>(null);
  const [isBusy, setBusy] = useState(false);
  useEffect(() => {
    if (host.current === null) return;
    const check = async (now: string): Promise<readonly PlacedFinding[]> => {
      const { findings: found } = await send<Validation>('POST', 'validate', { text: now });
      setFindings(found);
      return found;
    };
    const opened = openEditor(host.current, base.text, { change: setText, check });
    view.current = opened;
    return () => opened.destroy();
  }, []);
  const submit = async (dryRun: boolean): Promise<void> => {
    setBusy(true);
    setSaid(await submitted(text, base.revision, dryRun));
    setBusy(false);
  };
  const mistakes = findings.filter(({ severity }) => severity === 'mistake').length;
  const isSame = text === base.text;
  return (
    <Card title={base.revision === 0 ? 'New' : `Revision ${base.revision}`}>
      <div ref={host} class="editor" />
      <div class="row">
        <button type="button" disabled={isBusy || mistakes > 0} onClick={() => void submit(true)}>
          Plan
        </button>
        <button
          type="button"
          class="primary"
          disabled={isBusy || mistakes > 0 || isSame}
          onClick={() => void submit(false)}
        >
          Apply
        </button>
        <button type="button" class="plain" disabled={isSame} onClick={reload}>
          Newest again
        </button>
        <span class="quiet small" role="status">
          {isBusy ? 'Asking the head …' : stateOf(findings, isSame)}
        </span>
      </div>
      <Findings findings={findings} />
      {said !== null && <Outcome said={said} reload={reload} />}
    </Card>
  );
}

function Findings({ findings }: { readonly findings: readonly PlacedFinding[] }) {
  return (
    <>
      {findings.map(({ line, column, severity, message }) => (
        <Notice
          key={`${line}:${column}:${message}`}
          tone={severity === 'mistake' ? 'bad' : 'warn'}
          title={line === null ? 'The file' : `Line ${line}`}
        >
          <p class="small">{message}</p>
        </Notice>
      ))}
    </>
  );
}

function Outcome({ said, reload }: { readonly said: Said; readonly reload: () => void }) {
  if (said.kind === 'error') return <Notice tone="bad" title={said.message} />;
  if (said.kind === 'mistakes') {
    return (
      <Notice tone="bad" title="Nothing was changed">
        {said.mistakes.map((one) => (
          <pre key={one}>{one}</pre>
        ))}
      </Notice>
    );
  }
  const { changes, settings, warnings } = said.kind === 'plan' ? said.plan : said.answer;
  return (
    <div class="stack">
      <h3>{said.kind === 'plan' ? 'This would change' : `Revision ${said.answer.revision}`}</h3>
      <Changes changes={changes} settings={settings} />
      {warnings.map((one) => (
        <Notice key={one} tone="warn" title={one} />
      ))}
      {said.kind === 'applied' && (
        <Rollout revision={said.answer.revision} deployments={said.answer.deployments} whenDone={reload} />
      )}
    </div>
  );
}

async function newestConf(): Promise<Base> {
  const { revisions } = await ask<{ readonly revisions: readonly RevisionSummary[] }>('revisions');
  const [newest] = revisions;
  if (newest === undefined) return { revision: 0, text: '' };
  const { number, confText } = await ask<RevisionDetail>(`revisions/${newest.number}`);
  return { revision: number, text: confText };
}

async function submitted(text: string, base: number, dryRun: boolean): Promise<Said> {
  try {
    const answer = await send<PlanAnswer | ApplyAnswer | Mistaken>('POST', 'revisions', {
      text,
      base,
      dryRun,
    });
    if (!answer.ok) return { kind: 'mistakes', mistakes: answer.mistakes };
    return 'revision' in answer ? { kind: 'applied', answer } : { kind: 'plan', plan: answer };
  } catch (failure) {
    return { kind: 'error', message: messageOf(failure) };
  }
}

function stateOf(findings: readonly PlacedFinding[], isSame: boolean): string {
  const mistakes = findings.filter(({ severity }) => severity === 'mistake').length;
  if (mistakes > 0) return mistakes === 1 ? '1 mistake' : `${mistakes} mistakes`;
  return isSame ? 'As it is in force' : 'No mistakes';
}
