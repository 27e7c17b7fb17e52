/** What every typed failure carries: a stable code, and fields a program can act on. */
export interface FailureData {
  readonly code: string;
}

/**
 * Base of the project's errors. The message says what happened, with which value, and what to do;
 * `data` says the same to programs. Each module declares its own codes and one subclass.
 */
export class ServeError<Data extends FailureData = FailureData> extends Error {
  override readonly name: string = 'ServeError';
  readonly data: Data;

  constructor(message: string, data: Data, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.data = data;
  }

  get code(): string {
    return this.data.code;
  }
}

/** The text of anything that was thrown, without its stack. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The `code` of a Node or ServeError, or null where there is none. */
export function codeOf(thrown: unknown): string | null {
  if (typeof thrown === 'object' && thrown !== null && 'code' in thrown && typeof thrown.code === 'string') {
    return thrown.code;
  }
  return null;
}
