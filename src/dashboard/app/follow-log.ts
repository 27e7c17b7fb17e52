import { isAbort } from './api.ts';

const LINES_AT_FIRST = 200;
const AGAIN_AFTER_MS = 2_000;
/** Lines that come within so long are shown together. */
const TOGETHER_MS = 100;

export interface FollowedLog {
  readonly deployment: string;
  /** all of the deployment's where it is left out */
  readonly replica?: string | undefined;
}

export interface LogListener {
  /** the log from its last lines on: what was told before is told again */
  readonly begin: () => void;
  readonly lines: (lines: readonly string[]) => void;
  /** why nothing comes at the moment; '': something may */
  readonly note: (text: string) => void;
}

/** Reads until the signal says to end; a stream that breaks is asked for again from its last lines. */
export async function followLog(
  { deployment, replica }: FollowedLog,
  listener: LogListener,
  signal: AbortSignal,
): Promise<void> {
  const query = new URLSearchParams({ lines: String(LINES_AT_FIRST), follow: '1' });
  if (replica !== undefined) query.set('replica', replica);
  while (!signal.aborted) {
    try {
      const response = await fetch(`api/v1/logs/${encodeURIComponent(deployment)}?${query}`, { signal });
      if (response.ok && response.body !== null) {
        listener.begin();
        listener.note('');
        await readLines(response.body, listener.lines, signal);
      } else listener.note(refusalOf((await response.json()) as Refusal));
    } catch (error) {
      if (isAbort(error)) return;
      listener.note('The head does not answer. Below is what was written until then.');
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_MS));
  }
}

interface Refusal {
  readonly code: string;
  readonly info: string;
}

function refusalOf({ code, info }: Refusal): string {
  return code === 'LOG_NOT_FOUND' ? 'No replica has written anything yet.' : info;
}

async function readLines(
  body: ReadableStream<Uint8Array>,
  add: (lines: readonly string[]) => void,
  signal: AbortSignal,
): Promise<void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  let waiting: string[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const show = (): void => {
    timer = undefined;
    const lines = waiting;
    waiting = [];
    if (!signal.aborted && lines.length > 0) add(lines);
  };
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) waiting.push(plain(line));
      timer ??= setTimeout(show, TOGETHER_MS);
    }
  } finally {
    clearTimeout(timer);
    if (rest !== '') waiting.push(plain(rest));
    show();
  }
}

/** Without the codes that colour a terminal. */
function plain(line: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what such codes begin with
  return line.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, '').replace(/\r$/, '');
}
