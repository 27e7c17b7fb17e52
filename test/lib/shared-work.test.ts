import { expect, test } from 'vitest';
import { type Progress, SharedWork } from '../../src/lib/shared-work.ts';

/** Work that ends when the test says so. */
function work(): {
  begin: (progress: Progress) => Promise<string>;
  readonly begun: Progress[];
  finish: (result: string) => void;
} {
  const begun: Progress[] = [];
  let finish: (result: string) => void = () => undefined;
  return {
    begun,
    finish: (result) => finish(result),
    begin: (progress) => {
      begun.push(progress);
      return new Promise((resolve, reject) => {
        finish = resolve;
        progress.signal.addEventListener('abort', () => reject(progress.signal.reason));
      });
    },
  };
}

function watcher(): Progress & { readonly lines: string[]; readonly leave: () => void } {
  const lines: string[] = [];
  const over = new AbortController();
  return {
    lines,
    onProgress: (line) => void lines.push(line),
    signal: over.signal,
    leave: () => over.abort(),
  };
}

test('all who ask for the same wait for one piece of work, and hear of it', async () => {
  const shared = new SharedWork<string>();
  const { begin, begun, finish } = work();
  const [first, second] = [watcher(), watcher()];
  const one = shared.join('a', begin, first);
  begun[0]?.onProgress('half');
  const other = shared.join('a', begin, second);
  expect([first.lines, second.lines]).toEqual([['half'], ['half']]);
  finish('done');
  expect(await Promise.all([one, other])).toEqual(['done', 'done']);
  expect(begun).toHaveLength(1);
  shared.join('a', begin, watcher()).catch(() => undefined); // over is over: it begins anew
  expect(begun).toHaveLength(2);
  void shared.stop();
});

test('who leaves gets nothing, and the work goes on for the others', async () => {
  const shared = new SharedWork<string>(0);
  const { begin, begun, finish } = work();
  const [first, second] = [watcher(), watcher()];
  const one = shared.join('a', begin, first);
  const other = shared.join('a', begin, second);
  first.leave();
  expect(await one).toBeNull();
  expect(begun[0]?.signal.aborted).toBe(false);
  finish('done');
  expect(await other).toBe('done');
});

test('work that nobody waits for is cancelled, and begun anew for the next', async () => {
  const shared = new SharedWork<string>(0);
  const { begin, begun } = work();
  const only = watcher();
  const one = shared.join('a', begin, only);
  only.leave();
  expect(await one).toBeNull();
  const { signal } = begun[0] ?? only;
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
  shared.join('a', begin, watcher()).catch(() => undefined);
  expect(begun).toHaveLength(2);
  void shared.stop();
  expect(begun[1]?.signal.aborted).toBe(true);
  expect(await shared.join('a', begin, watcher())).toBeNull();
});

test('whoever comes while it lingers keeps it going', async () => {
  const shared = new SharedWork<string>(60_000);
  const { begin, begun, finish } = work();
  const gone = watcher();
  const one = shared.join('a', begin, gone);
  gone.leave();
  await one;
  const other = shared.join('a', begin, watcher());
  finish('done');
  expect(await other).toBe('done');
  expect(begun).toHaveLength(1);
});

test('a failure reaches all who wait, and is not kept', async () => {
  const shared = new SharedWork<string>();
  const fail = async (): Promise<string> => {
    throw new Error('no');
  };
  const both = [shared.join('a', fail, watcher()), shared.join('a', fail, watcher())];
  for (const one of both) await expect(one).rejects.toThrow('no');
  expect(await shared.join('a', async () => 'yes', watcher())).toBe('yes');
});

test('a stop is over once what it has cancelled has ended, abandoned work among it', async () => {
  const shared = new SharedWork<string>(0);
  const ends: (() => void)[] = [];
  const begin = async ({ signal }: Progress): Promise<string> => {
    await new Promise<void>((resolve) => ends.push(resolve));
    signal.throwIfAborted();
    return 'done';
  };
  shared.join('kept', begin, watcher()).catch(() => undefined);
  const gone = watcher();
  const one = shared.join('abandoned', begin, gone);
  gone.leave();
  expect(await one).toBeNull();
  let isOver = false;
  const stopped = shared.stop().then(() => {
    isOver = true;
  });
  for (const end of ends) {
    await new Promise(setImmediate);
    expect(isOver).toBe(false);
    end();
  }
  await stopped;
});
