import type { ModelPin } from './types.ts';

/** What names a pinned model: its listing where it is streamed, before and after it has come; else its content. */
export function pinnedBy(pin: ModelPin): string {
  return pin.sha256 === null ? pin.listing : (pin.listing ?? pin.sha256);
}
