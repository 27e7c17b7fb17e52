import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';

/**
 * A long list, a page at a time: what is not seen costs nothing, however often it changes.
 * @param name of what there is, for who hears the page
 */
export function Pages<Item>({
  items,
  size,
  name,
  children,
}: {
  readonly items: readonly Item[];
  readonly size: number;
  readonly name: string;
  readonly children: (shown: readonly Item[]) => ComponentChildren;
}) {
  const [wanted, turnTo] = useState(0);
  const last = Math.max(0, Math.ceil(items.length / size) - 1);
  const page = Math.min(wanted, last);
  const first = page * size;
  return (
    <>
      {children(items.slice(first, first + size))}
      {last > 0 && (
        <nav class="row pages" aria-label={`Pages of ${name}`}>
          <button type="button" disabled={page === 0} onClick={() => turnTo(page - 1)}>
            ‹ Back
          </button>
          <span class="quiet small number" role="status">
            {first + 1}–{Math.min(first + size, items.length)} of {items.length.toLocaleString()}
          </span>
          <button type="button" disabled={page === last} onClick={() => turnTo(page + 1)}>
            More ›
          </button>
        </nav>
      )}
    </>
  );
}
