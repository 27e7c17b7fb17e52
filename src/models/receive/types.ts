/** Where the bytes of a part go: into a file, at an offset, or into memory. */
export type Target = FileTarget | MemoryTarget;

export interface FileTarget {
  /** open for writing, until the call has come back: it is written to from another thread */
  readonly fd: number;
  /** where the first byte of the part, or of the whole file, goes */
  readonly position: number;
}

export interface MemoryTarget {
  /** as long as the part; what is shared between threads is filled by another one */
  readonly memory: Uint8Array;
}

/** The first lines of an answer, names in lower case. */
export interface AnswerHead {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** What the answer to a request for a part has to say of it. */
export interface ExpectedPart {
  /** null: the whole file is asked for */
  readonly offset: number | null;
  /** of the whole file; null: not known */
  readonly totalBytes: number | null;
  /** null: nothing tells */
  readonly version: string | null;
}

/** One try to receive one part. */
export interface ReceiveTask {
  readonly origin: string;
  /** with the query, as it goes onto the request line */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly expected: ExpectedPart & { readonly offset: number };
  readonly lengthBytes: number;
  readonly target: Target;
  /** a server that sends nothing for this long counts as stalled */
  readonly silenceMs: number;
}

/** `code` of a try whose body was longer or shorter than the part. */
export const PART_LENGTH = 'PART_LENGTH';

/** What became of a try. */
export type Received =
  /** all of it is where it belongs */
  | { readonly kind: 'whole' }
  /** the answer is not the part; `text` is what the server says instead, '' when that would take reading on */
  | { readonly kind: 'answer'; readonly head: AnswerHead; readonly text: string }
  /** an answer in a form that is left to a full HTTP client; nothing of it was taken */
  | { readonly kind: 'odd' }
  /** the connection did not hold; what `onBytes` was told of is where it belongs */
  | {
      readonly kind: 'broken';
      readonly code: string;
      readonly message: string;
      /** whether the head of the answer had come */
      readonly hasAnswered: boolean;
    };

export interface ReceiveOptions {
  readonly signal: AbortSignal;
  /** is told how many bytes have come since it was called last */
  readonly onBytes: (count: number) => void;
}

/** Receives parts. Nothing is written to a target any more once `receive` has come back. */
export interface Receiver {
  /** @throws what writing to the target threw (ENOSPC); the signal's reason */
  receive(task: ReceiveTask, options: ReceiveOptions): Promise<Received>;
  /** Ends all connections, also those in use. Idempotent. */
  close(): Promise<void>;
}
