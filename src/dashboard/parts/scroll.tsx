import type { ComponentChildren } from 'preact';

/** What may be wider than the window, and then scrolls by itself: by keyboard, too. */
export function Scroll({ name, children }: { readonly name: string; readonly children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is for forms
    <div class="scroll" role="group" aria-label={name} tabIndex={0}>
      {children}
    </div>
  );
}
