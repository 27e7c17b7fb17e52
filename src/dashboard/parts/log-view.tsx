import { useEffect, useRef, useState } from 'preact/hooks';
import { isAbort, messageOf } from '../app/api.ts';
import { Card } from './card.tsx';

/** What is kept on the page; more is in the file. */
const MAX_LINES = 2_000;
const LINES_AT_FIRST = 200;
const AGAIN_AFTER_MS = 2_000;

/** The output of a deployment's replicas, or of one of them, followed. */
export function LogView({ deployment, replica }: { readonly deployment: string; readonly replica?: string }) {
  const [lines, setLines] = useState<readonly string[]>([]);
  const [note, setNote] = useState('');
  const [isFollowed, follow] = useState(true);
  const [wanted, setWanted] = useState('');
  const box = useRef<HTMLPreElement>(null);
  useEffect(() => {
    if (!isFollowed) return;
    setLines([]);
    const gone = new AbortController();
    void readLog(
      { deployment, replica, signal: gone.signal },
      (more) => setLines((before) => [...before, ...more].slice(-MAX_LINES)),
      (text) => {
        setNote(text);
        setLines([]);
      },
    );
    return () => gone.abort();
  }, [deployment, replica, isFollowed]);
  useEffect(() => {
    if (isFollowed && box.current !== null) box.current.scrollTop = box.current.scrollHeight;
  }, [lines, isFollowed]);
  const shown =
    wanted === '' ? lines : lines.filter((line) => line.toLowerCase().includes(wanted.toLowerCase()));
  return (
    <Card
      title="Output"
      aside={
        <div class="row">
          <input
            type="search"
            style={{ width: '180px' }}
            placeholder="Find"
            aria-label="Find in the output"
            value={wanted}
            onInput={(event) => setWanted(event.currentTarget.value)}
          />
          <button type="button" aria-pressed={isFollowed} onClick={() => follow(!isFollowed)}>
            {isFollowed ? 'Hold' : 'Follow'}
          </button>
        </div>
      }
    >
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard */}
      <pre class="log" ref={box} tabIndex={0} role="log" aria-label="Output" aria-live="off">
        {shown.length === 0 ? note || 'Nothing has been written yet.' : shown.join('\n')}
      </pre>
    </Card>
  );
}

interface Asked {
  readonly deployment: string;
  readonly replica: string | undefined;
  readonly signal: AbortSignal;
}

/** Reads until the page is left; a stream that breaks is asked for again from its last lines. */
async function readLog(
  { deployment, replica, signal }: Asked,
  add: (lines: readonly string[]) => void,
  restart: (note: string) => void,
): Promise<void> {
  const query = new URLSearchParams({ lines: String(LINES_AT_FIRST), follow: '1' });
  if (replica !== undefined) query.set('replica', replica);
  while (!signal.aborted) {
    try {
      const response = await fetch(`api/v1/logs/${encodeURIComponent(deployment)}?${query}`, { signal });
      if (response.ok && response.body !== null) {
        restart('');
        await readLines(response.body, add);
      } else restart(((await response.json()) as { info: string }).info);
    } catch (error) {
      if (isAbort(error)) return;
      restart(messageOf(error));
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_MS));
  }
}

async function readLines(
  body: ReadableStream<Uint8Array>,
  add: (lines: readonly string[]) => void,
): Promise<void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (lines.length > 0) add(lines.map(plain));
  }
  if (rest !== '') add([plain(rest)]);
}

/** Without the codes that colour a terminal. */
function plain(line: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what such codes begin with
  return line.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, '').replace(/\r$/, '');
}
