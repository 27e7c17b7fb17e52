import { sizeText } from '../../cluster/placement/amounts.ts';
import type { Trial } from '../app/trials.ts';
import { millisecondsText } from '../app/words.ts';
import { Badge } from './badge.tsx';
import { Notice } from './card.tsx';

/** What came of one request: an answer with its beginning, or why there is none. */
export function Answer({ trial: { sent, answer, error } }: { readonly trial: Trial }) {
  if (answer === null) {
    if (error === 'cancelled') return <Notice tone="warn" title={`${sent}: cancelled`} />;
    return <Notice tone="bad" title={`${sent}: ${error}`} />;
  }
  const { httpStatus, contentType, retryAfter, text, tookMs, isCut, sizeBytes } = answer;
  const size = sizeBytes === null ? 'more than is shown' : sizeText(sizeBytes);
  return (
    <div class="stack">
      <div class="row small">
        <Badge tone={httpStatus < 400 ? 'good' : 'bad'}>{httpStatus}</Badge>
        <span class="mono">{sent}</span>
        <span class="quiet">
          {[millisecondsText(tookMs), contentType, size].filter((one) => one !== '').join(', ')}
        </span>
      </div>
      {retryAfter !== null && <p>{againText(retryAfter)}</p>}
      {text === null ? (
        <p class="quiet small">It is no text, and not shown.</p>
      ) : (
        <AnswerText text={laidOut(text, contentType)} sent={sent} />
      )}
      {isCut && text !== null && <p class="quiet small">This is its beginning; the rest is not shown.</p>}
    </div>
  );
}

function AnswerText({ text, sent }: { readonly text: string; readonly sent: string }) {
  if (text === '') return <p class="quiet small">The answer is empty.</p>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is for forms
    <pre class="answer" tabIndex={0} role="group" aria-label={`Answer to ${sent}`}>
      {text}
    </pre>
  );
}

/** @param retryAfter seconds, or a date, as the header has it */
function againText(retryAfter: string): string {
  return /^\d+$/.test(retryAfter) ? `Try again in ${retryAfter} s.` : `Try again after ${retryAfter}.`;
}

function laidOut(text: string, contentType: string): string {
  if (!contentType.includes('json')) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
