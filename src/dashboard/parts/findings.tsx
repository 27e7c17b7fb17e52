import type { PlacedFinding } from '../../config/finding.ts';

/** A text with hundreds of mistakes is mostly no conf.ini at all. */
const SHOWN = 12;

/** What is wrong with a text, mistakes first; each leads to its place. */
export function Findings({
  findings,
  goTo,
}: {
  readonly findings: readonly PlacedFinding[];
  readonly goTo: (finding: PlacedFinding) => void;
}) {
  const sorted = findings.toSorted((left, right) => rankOf(left) - rankOf(right));
  if (sorted.length === 0) return null;
  return (
    <ul class="findings" aria-label="What is wrong">
      {sorted.slice(0, SHOWN).map((finding) => (
        <li key={`${finding.line}:${finding.column}:${finding.message}`}>
          <button
            type="button"
            class={finding.severity === 'mistake' ? 'bad' : 'warn'}
            onClick={() => goTo(finding)}
          >
            <strong>{placeOf(finding)}</strong>
            <span>{finding.message}</span>
          </button>
        </li>
      ))}
      {sorted.length > SHOWN && <li class="quiet small">… and {sorted.length - SHOWN} more</li>}
    </ul>
  );
}

function rankOf({ severity, line }: PlacedFinding): number {
  return (severity === 'mistake' ? 0 : 1e9) + (line ?? 0);
}

/** `Line 9 · [algopkg.Echo] replica` */
function placeOf({ line, section, key }: PlacedFinding): string {
  const about = [section === null ? '' : `[${section}]`, key ?? ''].filter((one) => one !== '').join(' ');
  const place = line === null ? 'The file' : `Line ${line}`;
  return about === '' ? place : `${place} · ${about}`;
}
