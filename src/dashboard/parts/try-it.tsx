import { useState } from 'preact/hooks';
import type { TrialAnswer } from '../../admin/types.ts';
import type { DeploymentStatus } from '../../cluster/status/types.ts';
import { messageOf, send } from '../app/api.ts';
import { millisecondsText } from '../app/words.ts';
import { Badge } from './badge.tsx';
import { Card, Notice } from './card.tsx';

const KEPT_ANSWERS = 5;

interface Trial {
  readonly number: number;
  readonly sent: string;
  readonly answer: TrialAnswer | null;
  readonly error: string | null;
}

/** A form that asks a deployment, with the last answers. */
export function TryIt({
  deployment,
  address,
}: {
  readonly deployment: DeploymentStatus;
  readonly address: string;
}) {
  const [method, setMethod] = useState(
    deployment.methods.includes('POST') ? 'POST' : (deployment.methods[0] ?? 'GET'),
  );
  const [query, setQuery] = useState('');
  const [body, setBody] = useState('{}');
  const [key, setKey] = useState('');
  const [trials, setTrials] = useState<readonly Trial[]>([]);
  const [isBusy, setBusy] = useState(false);
  const ask = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    const sent = `${method} ${deployment.route}${query === '' ? '' : `?${query}`}`;
    const asked = {
      method,
      query,
      body: method === 'GET' ? null : body,
      authorization: key === '' ? null : `Bearer ${key}`,
    };
    const outcome = await send<TrialAnswer>('POST', `try/${encodeURIComponent(deployment.name)}`, asked).then(
      (answer) => ({ answer, error: null }),
      (failure: unknown) => ({ answer: null, error: messageOf(failure) }),
    );
    setTrials((before) =>
      [{ number: (before[0]?.number ?? 0) + 1, sent, ...outcome }, ...before].slice(0, KEPT_ANSWERS),
    );
    setBusy(false);
  };
  return (
    <Card title="Try it">
      <form class="stack" onSubmit={ask}>
        <div class="row">
          <label>
            Method
            <select value={method} onChange={(event) => setMethod(event.currentTarget.value)}>
              {deployment.methods.map((one) => (
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
              onInput={(event) => setQuery(event.currentTarget.value)}
            />
          </label>
          <label style={{ flex: '1 1 160px' }}>
            API key, where the route asks for one
            <input
              type="password"
              autocomplete="off"
              value={key}
              onInput={(event) => setKey(event.currentTarget.value)}
            />
          </label>
        </div>
        {method !== 'GET' && (
          <label>
            Body (JSON)
            <textarea
              class="mono"
              rows={5}
              spellcheck={false}
              value={body}
              onInput={(event) => setBody(event.currentTarget.value)}
            />
          </label>
        )}
        <div class="row">
          <button type="submit" class="primary" disabled={isBusy}>
            {isBusy ? 'Asking …' : 'Send'}
          </button>
          <code class="quiet">{commandOf({ method, address, query, body })}</code>
        </div>
      </form>
      {trials.map((trial) => (
        <Answer key={trial.number} trial={trial} />
      ))}
    </Card>
  );
}

function Answer({ trial: { sent, answer, error } }: { readonly trial: Trial }) {
  if (answer === null) return <Notice tone="bad" title={`${sent}: ${error}`} />;
  const { httpStatus, contentType, text, tookMs, isCut } = answer;
  return (
    <div class="stack" aria-live="polite">
      <div class="row small">
        <Badge tone={httpStatus < 400 ? 'good' : 'bad'}>{httpStatus}</Badge>
        <span class="mono">{sent}</span>
        <span class="quiet">
          {millisecondsText(tookMs)}, {contentType}
        </span>
      </div>
      <pre>
        {laidOut(text, contentType)}
        {isCut ? '\n…' : ''}
      </pre>
    </div>
  );
}

function laidOut(text: string, contentType: string): string {
  if (!contentType.includes('json')) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** The same request for a terminal. */
function commandOf({
  method,
  address,
  query,
  body,
}: {
  readonly method: string;
  readonly address: string;
  readonly query: string;
  readonly body: string;
}): string {
  const url = `'${address}${query === '' ? '' : `?${query}`}'`;
  if (method === 'GET') return `curl ${url}`;
  return `curl -X ${method} -H 'content-type: application/json' -d '${body.replaceAll("'", "'\\''")}' ${url}`;
}
