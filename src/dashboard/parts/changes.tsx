import type { PlannedChange } from '../../cluster/spec/types.ts';
import { Badge, type Tone } from './badge.tsx';

const WORDS: Readonly<Record<PlannedChange['kind'], { readonly text: string; readonly tone: Tone }>> = {
  added: { text: 'added', tone: 'good' },
  removed: { text: 'removed', tone: 'bad' },
  changed: { text: 'changed', tone: 'busy' },
  retried: { text: 'tried again', tone: 'warn' },
};

/** What each effect does to what runs. */
const EFFECTS: Readonly<Record<string, string>> = {
  routing: 'at once; no process is touched',
  scale: 'replicas are started or drained',
  reconfigure: 'in place, by reconfigure()',
  replace: 'new replicas first, then the old ones drain',
};

/** A plan: what differs, and what that does. */
export function Changes({
  changes,
  settings,
}: {
  readonly changes: readonly PlannedChange[];
  readonly settings: PlannedChange['differences'];
}) {
  if (changes.length === 0 && settings.length === 0) return <p class="quiet">Nothing differs.</p>;
  return (
    <div class="stack">
      {settings.length > 0 && <Differences name="[MODEL SERVE]" differences={settings} />}
      {changes.map((change) => (
        <div key={change.deployment} class="stack">
          <div class="row">
            <strong>{change.deployment}</strong>
            <Badge tone={WORDS[change.kind].tone}>{WORDS[change.kind].text}</Badge>
            <span class="quiet small">
              {change.effects.map((effect) => EFFECTS[effect] ?? effect).join('; ')}
            </span>
            {change.environment !== undefined && <span class="quiet small">in {change.environment}</span>}
          </div>
          <Differences name={null} differences={change.differences} />
        </div>
      ))}
    </div>
  );
}

function Differences({
  name,
  differences,
}: {
  readonly name: string | null;
  readonly differences: PlannedChange['differences'];
}) {
  if (differences.length === 0) return null;
  return (
    <div class="stack">
      {name !== null && <strong>{name}</strong>}
      <dl class="small">
        {differences.map(({ key, from, to }) => (
          <DifferenceLine key={key} name={key} from={from} to={to} />
        ))}
      </dl>
    </div>
  );
}

function DifferenceLine({
  name,
  from,
  to,
}: {
  readonly name: string;
  readonly from: string;
  readonly to: string;
}) {
  return (
    <>
      <dt class="mono">{name}</dt>
      <dd class="diff">
        {from !== '' && <del class="mono">{from}</del>}
        {to !== '' && <ins class="mono">{to}</ins>}
      </dd>
    </>
  );
}
