import { computed, signal } from '@preact/signals';

/** conf.ini of a revision; 0: there is none yet. */
export interface ConfBase {
  readonly revision: number;
  readonly text: string;
}

/** What the editor holds, and what it was edited from; it outlives its page, and an ended login. null: nothing yet. */
export const confDraft = signal<{ readonly base: ConfBase; readonly text: string } | null>(null);

/** Whether there is something that is not applied. */
export const isConfEdited = computed(
  () => confDraft.value !== null && confDraft.value.text !== confDraft.value.base.text,
);
