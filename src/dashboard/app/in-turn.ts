/** Work that takes a while, each piece in a task of its own, so that the page answers in between. */
let waiting: (() => void)[] = [];

/** @returns what withdraws it where it has not begun */
export function inTurn(work: () => void): () => void {
  waiting.push(work);
  if (waiting.length === 1) setTimeout(next);
  return () => {
    waiting = waiting.map((one) => (one === work ? nothing : one));
  };
}

function next(): void {
  waiting[0]?.();
  waiting = waiting.slice(1);
  if (waiting.length > 0) setTimeout(next);
}

function nothing(): void {}
