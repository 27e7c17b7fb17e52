import type { ApplyAnswer, Mistaken, PlanAnswer } from '../../admin/types.ts';
import { messageOf, send } from '../app/api.ts';
import { Notice } from './card.tsx';
import { Changes } from './changes.tsx';
import { Rollout } from './rollout.tsx';

/** What the head said to a conf.ini that it was asked to plan or to apply. */
export type Said =
  | { readonly kind: 'plan'; readonly plan: PlanAnswer }
  | { readonly kind: 'applied'; readonly answer: ApplyAnswer }
  | { readonly kind: 'mistakes'; readonly mistakes: readonly string[] }
  | { readonly kind: 'error'; readonly message: string };

/** @param base the revision that the text was edited from: a later one makes the head refuse it */
export async function submitted(text: string, base: number, dryRun: boolean): Promise<Said> {
  try {
    const asked = { text, base, dryRun };
    const answer = await send<PlanAnswer | ApplyAnswer | Mistaken>('POST', 'revisions', asked);
    if (!answer.ok) return { kind: 'mistakes', mistakes: answer.mistakes };
    return 'revision' in answer ? { kind: 'applied', answer } : { kind: 'plan', plan: answer };
  } catch (failure) {
    return { kind: 'error', message: messageOf(failure) };
  }
}

export function Outcome({ said }: { readonly said: Said }) {
  if (said.kind === 'error')
    return (
      <Notice tone="bad" title="Nothing was changed">
        {said.message}
      </Notice>
    );
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
        <Notice key={one} tone="warn" title="Warning">
          <p>{one}</p>
        </Notice>
      ))}
      {said.kind === 'applied' && (
        <Rollout revision={said.answer.revision} deployments={said.answer.deployments} />
      )}
    </div>
  );
}
