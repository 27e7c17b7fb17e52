import type { LoadTimes, RequestHead, ResponseHead } from '../../channel/messages.ts';
import type { JsonValue } from '../../lib/json.ts';

/** What the runner's main thread asks of a thread that holds an instance. Everything here is cloned or transferred. */
export interface ThreadTasks {
  readonly start: { readonly task: StartTask; readonly reply: StartReply };
  /** one call; the thread is taken until the answer ends */
  readonly call: { readonly task: CallTask; readonly reply: CallReply };
  /** several calls as one, each with a whole answer */
  readonly batch: { readonly task: BatchTask; readonly reply: BatchReply };
  /** the next chunks of a streamed answer */
  readonly next: { readonly task: NoInput; readonly reply: NextReply };
  /** nobody reads the answer any more: aborts `request.signal` and ends a streamed answer */
  readonly cancel: { readonly task: NoInput; readonly reply: Outcome };
  readonly reconfigure: { readonly task: { readonly config: JsonValue }; readonly reply: Outcome };
  readonly health: { readonly task: NoInput; readonly reply: Outcome };
  readonly shutdown: { readonly task: NoInput; readonly reply: Outcome };
}

/** Tasks are objects even where there is nothing to say: their destination travels beside it. */
export type NoInput = Record<never, never>;

export type ThreadTaskName = keyof ThreadTasks;

export interface StartTask {
  /** what to import: JavaScript */
  readonly file: string;
  readonly className: string;
  readonly modelPath: string;
  readonly userConfig: JsonValue | null;
  readonly maxBatchSize: number;
}

export type StartReply =
  | {
      readonly ok: true;
      readonly canReconfigure: boolean;
      readonly takesBatches: boolean;
      readonly load: LoadTimes;
    }
  | { readonly ok: false; readonly message: string; readonly traceback: string };

export interface CallTask {
  readonly head: RequestHead;
  readonly body: Uint8Array<ArrayBuffer>;
}

export interface BatchTask {
  readonly calls: readonly CallTask[];
}

/** In the order of the calls. */
export interface BatchReply {
  readonly replies: readonly CallReply[];
}

export interface CallReply {
  readonly head: ResponseHead;
  /** the whole body, or its beginning when `more` */
  readonly chunk: Uint8Array<ArrayBuffer>;
  readonly more: boolean;
}

export type NextReply =
  | { readonly chunk: Uint8Array<ArrayBuffer>; readonly more: boolean }
  /** user code raised after its answer had begun; the chunk is the last that the client gets */
  | { readonly chunk: Uint8Array<ArrayBuffer>; readonly error: string };

export type Outcome =
  | { readonly ok: true }
  /** error: the traceback of user code */
  | { readonly ok: false; readonly error: string };
