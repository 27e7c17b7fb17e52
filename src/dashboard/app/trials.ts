import { signal } from '@preact/signals';
import type { TrialAnswer } from '../../admin/types.ts';
import { isAbort, isTooLarge, messageOf, send } from './api.ts';

/** What a person asks a deployment in the form. */
export interface Draft {
  readonly method: string;
  /** without the question mark */
  readonly query: string;
  readonly body: string;
}

export interface Trial {
  readonly number: number;
  readonly sent: string;
  readonly answer: TrialAnswer | null;
  readonly error: string | null;
}

const KEPT_ANSWERS = 5;
/** Of what was sent, above its answer. */
const SHOWN_CHARACTERS = 200;
/** A longer body goes into a command from a file. */
const BODY_IN_COMMAND = 2_000;

/** Of each deployment the form as it was left, for who comes back to its page. */
export const drafts = new Map<string, Draft>();
/** Of each deployment the last answers, newest first. */
export const trials = signal<ReadonlyMap<string, readonly Trial[]>>(new Map());

/** Asks by way of the head, and keeps what came of it. A key is sent, and not kept. */
export async function tryIt(
  { name, route }: { readonly name: string; readonly route: string },
  { method, query, body }: Draft,
  { key, signal: gone }: { readonly key: string; readonly signal: AbortSignal },
): Promise<void> {
  const asked = {
    ...{ method, query },
    body: method === 'GET' ? null : body,
    authorization: key === '' ? null : `Bearer ${key}`,
  };
  const outcome = await send<TrialAnswer>('POST', `try/${encodeURIComponent(name)}`, asked, gone).then(
    (answer) => ({ answer, error: null }),
    (failure: unknown) => ({ answer: null, error: whyNot(failure) }),
  );
  const before = trials.value.get(name) ?? [];
  const sent = shortened(`${method} ${route}${query === '' ? '' : `?${query}`}`);
  const trial = { number: (before[0]?.number ?? 0) + 1, sent, ...outcome };
  trials.value = new Map([...trials.value, [name, [trial, ...before].slice(0, KEPT_ANSWERS)]]);
}

function whyNot(failure: unknown): string {
  if (isTooLarge(failure)) return 'this form sends at most 1 MiB; use a terminal for more';
  return isAbort(failure) ? 'cancelled' : messageOf(failure);
}

function shortened(text: string): string {
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}

/** What is wrong with a text that shall be JSON; null: nothing, or there is none. */
export function jsonMistake(text: string): string | null {
  if (text.trim() === '') return null;
  try {
    JSON.parse(text);
    return null;
  } catch (error) {
    return messageOf(error);
  }
}

/** The same request for a terminal; a long body is to be in body.json. */
export function commandOf(address: string, { method, query, body }: Draft, hasKey: boolean): string {
  const url = quoted(`${address}${query === '' ? '' : `?${query}`}`);
  const key = hasKey ? ` -H "authorization: Bearer $KEY"` : '';
  if (method === 'GET') return `curl${key} ${url}`;
  const data = body.length > BODY_IN_COMMAND ? '@body.json' : quoted(body);
  return `curl -X ${method}${key} -H 'content-type: application/json' -d ${data} ${url}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
