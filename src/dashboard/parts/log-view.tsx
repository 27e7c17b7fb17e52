import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { type FollowedLog, followLog } from '../app/follow-log.ts';
import { countOf, endOf, type LineBlock, withLines, withWords } from '../app/line-blocks.ts';
import { countText } from '../app/words.ts';
import { Card } from './card.tsx';

/** What is kept on the page; more is in the file. */
const MAX_LINES = 2_000;
/** A person who has scrolled to the end is rarely there to the pixel. */
const NEAR_END_PX = 8;

/**
 * The output of a deployment's replicas, or of one of them. It is followed while its end is seen; who scrolls up reads in
 * peace, and is told how much has come meanwhile.
 */
export function LogView({ deployment, replica }: FollowedLog) {
  const { blocks, note } = useLog(deployment, replica);
  const [held, hold] = useState<readonly LineBlock[] | null>(null);
  const [wanted, setWanted] = useState('');
  const shown = useMemo(() => withWords(held ?? blocks, wanted), [held, blocks, wanted]);
  const newer = held === null ? 0 : Math.max(0, endOf(blocks) - endOf(held));
  return (
    <Card
      title="Output"
      aside={
        <div class="row">
          <span class="quiet small number" role="status">
            {wanted === '' ? '' : `${countText(countOf(shown), 'line')} with it`}
          </span>
          <input
            type="search"
            class="find"
            placeholder="Find"
            aria-label="Find in the output"
            value={wanted}
            onInput={(event) => setWanted(event.currentTarget.value)}
          />
          <button
            type="button"
            aria-pressed={held === null}
            onClick={() => hold(held === null ? blocks : null)}
          >
            {newer === 0 ? 'Follow' : `Follow: ${newer.toLocaleString()} new`}
          </button>
        </div>
      }
    >
      {note !== '' && countOf(blocks) > 0 && <p class="quiet small">{note}</p>}
      <Lines
        blocks={shown}
        isFollowed={held === null}
        empty={emptyText(blocks, note)}
        scrolled={(isAtEnd) => hold((before) => (isAtEnd ? null : (before ?? blocks)))}
      />
    </Card>
  );
}

function emptyText(blocks: readonly LineBlock[], note: string): string {
  if (countOf(blocks) > 0) return 'No line has these words.';
  return note === '' ? 'Nothing has been written yet.' : note;
}

function useLog(deployment: string, replica: string | undefined) {
  const [blocks, setBlocks] = useState<readonly LineBlock[]>([]);
  const [note, setNote] = useState('');
  useEffect(() => {
    const gone = new AbortController();
    const listener = {
      begin: () => setBlocks([]),
      lines: (more: readonly string[]) => setBlocks((before) => withLines(before, more, MAX_LINES)),
      note: setNote,
    };
    void followLog({ deployment, replica }, listener, gone.signal);
    return () => gone.abort();
  }, [deployment, replica]);
  return { blocks, note };
}

function Lines({
  blocks,
  isFollowed,
  empty,
  scrolled,
}: {
  readonly blocks: readonly LineBlock[];
  readonly isFollowed: boolean;
  readonly empty: string;
  readonly scrolled: (isAtEnd: boolean) => void;
}) {
  const box = useRef<HTMLPreElement>(null);
  useLayoutEffect(() => {
    if (isFollowed && box.current !== null) box.current.scrollTop = box.current.scrollHeight;
  }, [blocks, isFollowed]);
  const look = (): void => {
    const { scrollTop = 0, scrollHeight = 0, clientHeight = 0 } = box.current ?? {};
    const isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    if (isAtEnd !== isFollowed) scrolled(isAtEnd);
  };
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
    <pre class="log" ref={box} tabIndex={0} role="log" aria-label="Output" aria-live="off" onScroll={look}>
      {blocks.length === 0 ? empty : blocks.map((block) => <Block key={block.first} block={block} />)}
    </pre>
  );
}

function Block({ block }: { readonly block: LineBlock }) {
  // The same element for the same block: what has not changed is not looked at.
  return useMemo(() => <div>{`${block.lines.join('\n')}\n`}</div>, [block]);
}
