import { signal } from '@preact/signals';

/** Whether this browser is logged in; null: not asked yet. */
export const isLoggedIn = signal<boolean | null>(null);
/** Why nothing may be changed here; null: it may. */
export const readOnly = signal<string | null>(null);
/** Why the head cannot be reached at the moment; null: it can. */
export const trouble = signal<string | null>(null);

/** What stands in for an answer where there is none; every page says so at its top. */
export const AWAY = 'The head does not answer. What is shown is what was known last.';

/** The head cannot be reached. */
class AwayError extends Error {
  override readonly name = 'AwayError';
}

/** The head said no: its words, and the code of the error. */
class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: string;
  readonly httpStatus: number;

  constructor(message: string, code: string, httpStatus: number) {
    super(message);
    this.code = code;
    this.httpStatus = httpStatus;
  }
}

/**
 * Asks the admin API. A login that has ended shows the login form.
 * @throws ApiError what the head answered; AwayError when it does not answer; DOMException when the caller gave up
 */
export async function ask<Answer>(path: string, init: RequestInit = {}): Promise<Answer> {
  const { ok, status, text } = await fetched(path, init);
  trouble.value = null;
  if (status === 401) isLoggedIn.value = false;
  if (!ok) throw refusal(text, status);
  return (text === '' ? null : JSON.parse(text)) as Answer;
}

async function fetched(path: string, init: RequestInit) {
  try {
    const response = await fetch(`api/v1/${path}`, { credentials: 'same-origin', ...init });
    const { ok, status } = response;
    return { ok, status, text: await response.text() };
  } catch (error) {
    if (isAbort(error)) throw error;
    trouble.value = AWAY;
    throw new AwayError('the head does not answer', { cause: error });
  }
}

/** A request that changes something, with a JSON body. */
export async function send<Answer>(
  method: 'POST' | 'PUT' | 'DELETE',
  path: string,
  body?: unknown,
  signal: AbortSignal | null = null,
): Promise<Answer> {
  if (body === undefined) return await ask<Answer>(path, { method, signal });
  const headers = { 'content-type': 'application/json' };
  return await ask<Answer>(path, { method, headers, signal, body: JSON.stringify(body) });
}

/** Finds out whether this browser is logged in, and as whom; what goes wrong is said elsewhere. */
export async function askWhoWeAre(): Promise<void> {
  const { mayChange } = await ask<{ readonly mayChange: boolean }>('session');
  readOnly.value = mayChange ? null : 'Read only: with this login one looks, and changes nothing.';
  isLoggedIn.value = true;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Whether the head is out of reach, which the page says by itself. */
export function isAway(error: unknown): boolean {
  return error instanceof AwayError;
}

/** Whether the head takes no request that large. */
export function isTooLarge(error: unknown): boolean {
  return error instanceof ApiError && error.httpStatus === 413;
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

function refusal(text: string, httpStatus: number): ApiError {
  try {
    const { code, info } = JSON.parse(text) as { code?: string; info?: string };
    return new ApiError(info ?? text, code ?? 'UNKNOWN', httpStatus);
  } catch {
    return new ApiError(text === '' ? `the head answered ${httpStatus}` : text, 'UNKNOWN', httpStatus);
  }
}
