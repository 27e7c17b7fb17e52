import type { RequestHead } from '../../channel/messages.ts';
import type { JsonValue } from '../../lib/json.ts';
import { type Answer, describe, failureAnswer, toAnswer, tracebackOf } from './answer.ts';
import { answerBatch } from './batch-call.ts';
import type { ChunkSource, Portion } from './chunk-source.ts';
import { type Backend, loadBackendClass } from './load-class.ts';
import { note } from './note.ts';
import { BackendRequest } from './request.ts';
import type {
  BatchReply,
  BatchTask,
  CallReply,
  CallTask,
  NextReply,
  Outcome,
  StartReply,
  StartTask,
} from './thread-tasks.ts';

/** The call that a thread is at; `rest` is set once its answer is being streamed. */
interface RunningCall {
  readonly head: RequestHead;
  readonly abort: AbortController;
  rest: ChunkSource | null;
}

/** One instance of the user's class in its thread. Nothing that user code throws leaves it: it comes back as a reply. */
export class BackendHost {
  #backend: Backend | null = null;
  #call: Call = notStarted;
  #running: RunningCall | null = null;

  async start(task: StartTask): Promise<StartReply> {
    const beganMs = performance.now();
    try {
      const backendClass = await loadBackendClass(task.file, task.className);
      const importedMs = performance.now();
      const backend = new backendClass(task.modelPath);
      await backend.init?.();
      const call = callOf(backend); // a class that cannot answer is a failed start, not a failed request
      if (task.userConfig !== null) await backend.reconfigure?.(task.userConfig);
      this.#backend = backend;
      this.#call = call;
      return {
        ok: true,
        canReconfigure: typeof backend.reconfigure === 'function',
        load: {
          import_ms: Math.round(importedMs - beganMs),
          construct_ms: Math.round(performance.now() - importedMs),
        },
        takesBatches: typeof backend.predictBatch === 'function' && (task.maxBatchSize > 1 || call === alone),
      };
    } catch (error) {
      return { ok: false, message: describe(error), traceback: tracebackOf(error) };
    }
  }

  async call(task: CallTask): Promise<CallReply> {
    const running: RunningCall = { head: task.head, abort: new AbortController(), rest: null };
    this.#running = running;
    const answer = await this.#answer(task, running);
    if ('body' in answer) {
      this.#running = null;
      return { head: answer.head, chunk: answer.body, more: false };
    }
    running.rest = answer.rest;
    return { head: answer.head, chunk: answer.first, more: true };
  }

  /** Several calls as one; each gets its own reply. */
  async batch(task: BatchTask): Promise<BatchReply> {
    const predict = (items: unknown[]): unknown => this.#backend?.predictBatch?.(items);
    const answers = await answerBatch(task.calls, predict);
    return { replies: answers.map(({ head, body }) => ({ head, chunk: body, more: false })) };
  }

  async next(): Promise<NextReply> {
    const running = this.#running;
    if (running?.rest == null) return { chunk: new Uint8Array(), more: false };
    const portion = await running.rest.next();
    if (!portion.done) return { chunk: portion.bytes, more: true };
    this.#running = null;
    if (!('failure' in portion)) return { chunk: portion.bytes, more: false };
    logFailure(running.head, portion.failure);
    return { chunk: lastWords(portion, running.head, running.rest), error: describe(portion.failure) };
  }

  /** Best effort: user code that does not look at `request.signal` runs to its end. */
  async cancel(): Promise<Outcome> {
    const running = this.#running;
    running?.abort.abort(new Error('the request was cancelled: nobody reads its answer'));
    if (running?.rest == null) return { ok: true };
    this.#running = null;
    return outcome(async () => running.rest?.close());
  }

  reconfigure(config: JsonValue): Promise<Outcome> {
    return outcome(() => this.#backend?.reconfigure?.(config));
  }

  /** `false` means not healthy, as does an exception. */
  health(): Promise<Outcome> {
    return outcome(async () => {
      if ((await this.#backend?.health?.()) === false) throw new Error('health() returned false');
    });
  }

  shutdown(): Promise<Outcome> {
    return outcome(() => this.#backend?.shutdown?.());
  }

  async #answer(task: CallTask, running: RunningCall): Promise<Answer> {
    try {
      const request = new BackendRequest(task.head, task.body, running.abort.signal);
      return await toAnswer(await this.#call(request), task.head);
    } catch (error) {
      logFailure(task.head, error);
      return failureAnswer(error, task.head);
    }
  }
}

type Call = (request: BackendRequest) => unknown;

/** How this backend is called. @throws TypeError when it has none of the methods */
function callOf(backend: Backend): Call {
  if (typeof backend.call === 'function') return (request) => backend.call?.(request);
  if (typeof backend.__call__ === 'function') return (request) => backend.__call__?.(request);
  if (typeof backend.predict === 'function')
    return async (request) => backend.predict?.(await request.json());
  if (typeof backend.predictBatch === 'function') return alone;
  const name = backend.constructor.name;
  throw new TypeError(
    `class ${name} has no method call(request), predict(parameters) or predictBatch(list): it answers the requests`,
  );
}

/** A class that takes nothing but batches is never called alone. */
function alone(): never {
  throw new Error('the class takes batches only');
}

/** What was made before the failure, and what a client that reads items can still be told. */
function lastWords(
  { bytes, failure }: Portion,
  head: RequestHead,
  rest: ChunkSource,
): Uint8Array<ArrayBuffer> {
  const told = rest.layout.failure(Buffer.from(failureAnswer(failure, head).body).toString());
  const whole = new Uint8Array(bytes.length + told.length);
  whole.set(bytes);
  whole.set(told, bytes.length);
  return whole;
}

async function outcome(run: () => unknown): Promise<Outcome> {
  try {
    await run();
    return { ok: true };
  } catch (error) {
    return { ok: false, error: tracebackOf(error) };
  }
}

function logFailure(head: RequestHead, error: unknown): void {
  note(`request ${head.id} failed: ${tracebackOf(error)}`);
}

function notStarted(): never {
  throw new Error('the backend was not started');
}
