import type { MessagePort } from 'node:worker_threads';
import type { LoadTimes } from '../../channel/messages.ts';
import type { JsonValue } from '../../lib/json.ts';

/**
 * What the runner's main thread asks of a thread that holds an instance, besides calls (see thread-calls.ts). Everything here is cloned or
 * transferred.
 */
export interface ThreadTasks {
  readonly start: { readonly task: StartTask & CallEnd; readonly reply: StartReply };
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
  /** descriptor for the runner's own lines while output is thrown away; null: they are among it */
  readonly ownLog: number | null;
}

/** The thread's end of what calls travel on. */
export interface CallEnd {
  /** transferred */
  readonly callPort: MessagePort;
  /** of Offers; shared */
  readonly offers: SharedArrayBuffer;
  /** of WorkMeter; shared */
  readonly meter: SharedArrayBuffer;
}

export type StartReply =
  | {
      readonly ok: true;
      readonly canReconfigure: boolean;
      readonly takesBatches: boolean;
      readonly load: LoadTimes;
    }
  | { readonly ok: false; readonly message: string; readonly traceback: string };

export type Outcome =
  | { readonly ok: true }
  /** error: the traceback of user code */
  | { readonly ok: false; readonly error: string };
