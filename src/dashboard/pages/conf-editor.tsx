import type { EditorView } from '@codemirror/view';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { RevisionDetail, Validation } from '../../admin/types.ts';
import type { RevisionSummary } from '../../cluster/status/types.ts';
import type { PlacedFinding } from '../../config/finding.ts';
import { ask, isAway, messageOf, readOnly, send, trouble } from '../app/api.ts';
import { type ConfBase, confDraft, isConfEdited } from '../app/conf-draft.ts';
import { status } from '../app/live.ts';
import { linkTo } from '../app/router.ts';
import { countText } from '../app/words.ts';
import { Outcome, type Said, submitted } from '../parts/apply-outcome.tsx';
import { Card, Empty, Notice } from '../parts/card.tsx';
import { openEditor, put, showPlace } from '../parts/code-editor.ts';
import { Findings } from '../parts/findings.tsx';

/** conf.ini in the browser: checked as one types, planned, applied, and watched until it is in force. */
export function ConfEditor() {
  const [newest, setNewest] = useState<ConfBase | null>(null);
  const [error, setError] = useState<string | null>(null);
  const isAwayNow = trouble.value !== null;
  const revision = status.value?.revision ?? 0;
  useEffect(() => {
    newestConf().then(
      (conf) => {
        setNewest(conf);
        setError(null);
      },
      (failure: unknown) => setError(isAway(failure) ? null : messageOf(failure)),
    );
  }, [isAwayNow, revision]);
  if (error !== null && newest === null) return <Notice tone="bad" title={error} />;
  if (newest === null) return <Empty>Asking the head …</Empty>;
  if (readOnly.value !== null) return <Reading conf={newest} reason={readOnly.value} />;
  return <Editing newest={newest} />;
}

function Reading({ conf, reason }: { readonly conf: ConfBase; readonly reason: string }) {
  return (
    <Card title={conf.revision === 0 ? 'Nothing has been applied yet' : `Revision ${conf.revision}`}>
      <p class="quiet small">{reason}</p>
      {conf.text !== '' && <pre>{conf.text}</pre>}
    </Card>
  );
}

/** What is checked, and what the check found; `failure`: it could not be checked. */
interface Checked {
  readonly text: string;
  readonly findings: readonly PlacedFinding[];
  readonly failure: string | null;
}

function Editing({ newest }: { readonly newest: ConfBase }) {
  const { base, text } = heldOr(newest);
  const { host, view, checked } = useEditor();
  const [said, setSaid] = useState<Said | null>(null);
  const [isBusy, setBusy] = useState(false);
  const isSame = text === base.text;
  useEffect(() => {
    setSaid((before) => (before?.kind === 'applied' ? before : null)); // it was said of another text
  }, [text, base]);
  const start = (): void => {
    confDraft.value = { base: newest, text };
    if (view.current !== null) put(view.current, newest.text);
  };
  // What was pressed is gone, or cannot be pressed again: who works by keyboard is in the text then.
  const drop = (): void => {
    start();
    view.current?.focus();
  };
  const keep = (): void => {
    setBase(newest);
    view.current?.focus();
  };
  useEffect(() => {
    if (isSame && newest.revision > base.revision) start();
  }, [newest]);
  const submit = async (dryRun: boolean): Promise<void> => {
    if (isBusy) return;
    setBusy(true);
    const answer = await submitted(text, base.revision, dryRun);
    if (answer.kind === 'applied') setBase({ revision: answer.answer.revision, text });
    setSaid(answer);
    setBusy(false);
  };
  const { findings } = checked;
  const isWrong = findings.some(({ severity }) => severity === 'mistake');
  return (
    <Card title={base.revision === 0 ? 'The first revision' : `Revision ${base.revision}`}>
      {!isSame && newest.revision > base.revision && <Overtaken by={newest} keep={keep} drop={drop} />}
      <div ref={host} class="editor" />
      <Buttons isBusy={isBusy} isWrong={isWrong} isSame={isSame} submit={submit} drop={drop}>
        {isBusy ? 'Asking the head …' : stateOf(checked, text, base)}
      </Buttons>
      <Findings findings={findings} goTo={(finding) => view.current && showPlace(view.current, finding)} />
      {!SECTION.test(text) && <Example />}
      <Spoken said={said} />
    </Card>
  );
}

/** Whether a text has a package to serve. */
const SECTION = /^\s*\[algopkg\./m;

function Example() {
  return (
    <div class="stack small">
      <p>
        Each package that is to be served has a section with its folder's name.{' '}
        <code>modelserve init Hello</code> makes a first one beside conf.ini, and prints its section, such as:
      </p>
      <pre>{'[algopkg.Hello]\nbackend = algo_backend\nroute = hello'}</pre>
    </div>
  );
}

/** What was edited before, else the newest revision. */
function heldOr(newest: ConfBase) {
  if (confDraft.value === null) confDraft.value = { base: newest, text: newest.text };
  return confDraft.value;
}

function setBase(base: ConfBase): void {
  confDraft.value = { base, text: confDraft.value?.text ?? base.text };
}

/** The text in an editor, which is that of the draft, and what its last check found. */
function useEditor() {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const [checked, setChecked] = useState<Checked>({ text: '', findings: [], failure: null });
  useEffect(() => {
    if (host.current === null) return;
    const check = async (now: string): Promise<readonly PlacedFinding[]> => {
      const found = await checkedText(now);
      setChecked(found);
      return found.findings;
    };
    const change = (text: string): void => {
      if (confDraft.value !== null) confDraft.value = { ...confDraft.value, text };
    };
    const opened = openEditor(host.current, confDraft.value?.text ?? '', { change, check });
    view.current = opened;
    return () => opened.destroy();
  }, []);
  useEffect(() => {
    const stay = (event: BeforeUnloadEvent): void => {
      if (isConfEdited.value) event.preventDefault();
    };
    window.addEventListener('beforeunload', stay);
    return () => window.removeEventListener('beforeunload', stay);
  }, []);
  return { host, view, checked };
}

/** While the head is asked they take no other press, yet keep the focus, which a disabled button would lose. */
function Buttons({
  isBusy,
  isWrong,
  isSame,
  submit,
  drop,
  children,
}: {
  readonly isBusy: boolean;
  readonly isWrong: boolean;
  readonly isSame: boolean;
  readonly submit: (dryRun: boolean) => Promise<void>;
  readonly drop: () => void;
  readonly children: string;
}) {
  return (
    <div class="row">
      <button type="button" aria-disabled={isBusy} disabled={isWrong} onClick={() => void submit(true)}>
        Plan
      </button>
      <button
        type="button"
        class="primary"
        aria-disabled={isBusy}
        disabled={isWrong || isSame}
        onClick={() => void submit(false)}
      >
        Apply
      </button>
      <button type="button" class="plain" disabled={isBusy || isSame} onClick={drop}>
        Drop my changes
      </button>
      <span class="quiet small" role="status">
        {children}
      </span>
    </div>
  );
}

/** Somebody else has applied another text meanwhile. */
function Overtaken({
  by,
  keep,
  drop,
}: {
  readonly by: ConfBase;
  readonly keep: () => void;
  readonly drop: () => void;
}) {
  return (
    <Notice tone="warn" title={`Revision ${by.revision} has been applied meanwhile.`}>
      <p>
        <a href={linkTo('configuration', 'history')}>See what it changed</a>: your text stays here. Put on top
        of it, yours undoes what it does not have; <em>Plan</em> shows that.
      </p>
      <div class="row">
        <button type="button" onClick={keep}>
          Put mine on top
        </button>
        <button type="button" onClick={drop}>
          Take revision {by.revision}
        </button>
      </div>
    </Notice>
  );
}

/** What the head said, where it can be seen. Who has applied goes on there: nothing is left to be pressed above. */
function Spoken({ said }: { readonly said: Said | null }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (said === null) return;
    if (said.kind === 'applied') box.current?.focus({ preventScroll: true });
    box.current?.scrollIntoView({ block: 'nearest' });
  }, [said]);
  return (
    <div ref={box} tabIndex={-1}>
      {said !== null && <Outcome said={said} />}
    </div>
  );
}

async function newestConf(): Promise<ConfBase> {
  const { revisions } = await ask<{ readonly revisions: readonly RevisionSummary[] }>('revisions');
  const [newest] = revisions;
  if (newest === undefined) return { revision: 0, text: '' };
  const { number, confText } = await ask<RevisionDetail>(`revisions/${newest.number}`);
  return { revision: number, text: confText.replace(/\r\n?/g, '\n') }; // as the editor has it
}

async function checkedText(text: string): Promise<Checked> {
  try {
    const { findings } = await send<Validation>('POST', 'validate', { text });
    return { text, findings, failure: null };
  } catch (failure) {
    return { text, findings: [], failure: messageOf(failure) };
  }
}

function stateOf(checked: Checked, text: string, base: ConfBase): string {
  if (checked.text !== text) return 'Checking …';
  if (checked.failure !== null) return `Not checked: ${checked.failure}`;
  const mistakes = checked.findings.filter(({ severity }) => severity === 'mistake').length;
  if (mistakes > 0) return countText(mistakes, 'mistake');
  return text === base.text && base.revision > 0 ? `As in revision ${base.revision}` : 'No mistakes';
}
