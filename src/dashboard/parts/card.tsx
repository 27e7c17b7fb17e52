import type { ComponentChildren } from 'preact';

export function Card({
  title,
  label = title,
  aside,
  children,
}: {
  readonly title?: string;
  /** what it is called for who hears the page, where several have the same title */
  readonly label?: string | undefined;
  readonly aside?: ComponentChildren;
  readonly children: ComponentChildren;
}) {
  return (
    <section class="card" aria-label={label}>
      {title !== undefined && (
        <div class="head">
          <h2>{title}</h2>
          {aside}
        </div>
      )}
      {children}
    </section>
  );
}

/** One figure with its name. */
export function Tile({
  name,
  value,
  note,
}: {
  readonly name: string;
  readonly value: string;
  readonly note?: string | undefined;
}) {
  return (
    <div class="card tile">
      <span class="quiet small">{name}</span>
      <strong class="number">{value}</strong>
      <span class="quiet small">{note ?? '\u00a0'}</span>
    </div>
  );
}

/** Something to know before all else: what, and what to do about it. */
export function Notice({
  tone,
  title,
  children,
}: {
  readonly tone: 'bad' | 'warn' | 'busy' | 'good';
  readonly title: ComponentChildren;
  readonly children?: ComponentChildren;
}) {
  return (
    <div class={`notice ${tone}`} role={tone === 'bad' ? 'alert' : 'status'}>
      <strong>{title}</strong>
      {children}
    </div>
  );
}

export function Empty({ children }: { readonly children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}
