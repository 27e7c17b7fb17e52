import { useEffect, useRef, useState } from 'preact/hooks';
import type { DeploymentStatus } from '../../cluster/status/types.ts';
import { commandOf, type Draft, drafts, jsonMistake, trials, tryIt } from '../app/trials.ts';
import { Card } from './card.tsx';
import { Answer } from './trial-answer.tsx';

/** A form that asks a deployment, with the last answers. */
export function TryIt({
  deployment,
  address,
}: {
  readonly deployment: DeploymentStatus;
  readonly address: string;
}) {
  const { name, methods } = deployment;
  const [draft, setDraft] = useState<Draft>(() => drafts.get(name) ?? firstDraft(methods));
  const [key, setKey] = useState('');
  const asking = useRef<AbortController | null>(null);
  const sendButton = useRef<HTMLButtonElement>(null);
  const [isBusy, setBusy] = useState(false);
  useEffect(() => () => asking.current?.abort(), []);
  const edit = (change: Partial<Draft>): void => {
    const now = { ...draft, ...change };
    drafts.set(name, now);
    setDraft(now);
  };
  const ask = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (isBusy) return;
    setBusy(true);
    const gone = new AbortController();
    asking.current = gone;
    await tryIt(deployment, draft, { key, signal: gone.signal });
    setBusy(false);
  };
  const cancel = (): void => {
    asking.current?.abort();
    sendButton.current?.focus(); // the one that was pressed goes
  };
  const answers = trials.value.get(name) ?? [];
  return (
    <Card title="Try it">
      <form class="stack" onSubmit={ask}>
        <Line draft={draft} edit={edit} methods={methods} apiKey={key} setKey={setKey} />
        {draft.method !== 'GET' && <Body text={draft.body} edit={(body) => edit({ body })} />}
        <div class="row">
          <button ref={sendButton} type="submit" class="primary" aria-disabled={isBusy}>
            {isBusy ? 'Asking …' : 'Send'}
          </button>
          {isBusy && (
            <button type="button" onClick={cancel}>
              Cancel
            </button>
          )}
          <code class="quiet">{commandOf(address, draft, key !== '')}</code>
        </div>
      </form>
      <div class="stack" aria-live="polite">
        {answers.map((trial) => (
          <Answer key={trial.number} trial={trial} />
        ))}
      </div>
    </Card>
  );
}

function firstDraft(methods: readonly string[]): Draft {
  return { method: methods.includes('POST') ? 'POST' : (methods[0] ?? 'GET'), query: '', body: '{}' };
}

function Line({
  draft: { method, query },
  edit,
  methods,
  apiKey,
  setKey,
}: {
  readonly draft: Draft;
  readonly edit: (change: Partial<Draft>) => void;
  readonly methods: readonly string[];
  readonly apiKey: string;
  readonly setKey: (key: string) => void;
}) {
  return (
    <div class="row">
      <label>
        Method
        <select value={method} onChange={(event) => edit({ method: event.currentTarget.value })}>
          {methods.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      </label>
      <label style={{ flex: '1 1 160px' }}>
        Query
        <input
          class="mono"
          value={query}
          placeholder="text=hello"
          onInput={(event) => edit({ query: event.currentTarget.value })}
        />
      </label>
      <label style={{ flex: '1 1 160px' }}>
        API key, where the route asks for one
        <input
          type="password"
          autocomplete="off"
          value={apiKey}
          onInput={(event) => setKey(event.currentTarget.value)}
        />
      </label>
    </div>
  );
}

function Body({ text, edit }: { readonly text: string; readonly edit: (text: string) => void }) {
  const mistake = jsonMistake(text);
  return (
    <label>
      Body (JSON)
      <textarea
        class="mono"
        rows={5}
        spellcheck={false}
        value={text}
        aria-invalid={mistake !== null}
        onInput={(event) => edit(event.currentTarget.value)}
      />
      {mistake !== null && <span class="mistake">Not JSON: {mistake}</span>}
    </label>
  );
}
