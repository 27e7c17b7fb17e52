import type { JsonValue } from '../../lib/json.ts';
import { type Answer, describe, failureAnswer, toAnswer, tracebackOf, type WholeAnswer } from './answer.ts';
import { answerBatch } from './batch-call.ts';
import type { IncomingCall } from './incoming-call.ts';
import { type Backend, loadBackendClass } from './load-class.ts';
import { noteFailure } from './note.ts';
import { BackendRequest } from './request.ts';
import type { Outcome, StartReply, StartTask } from './thread-tasks.ts';

/** One instance of the user's class in its thread. Nothing that user code throws leaves it: it comes back as a reply. */
export class BackendHost {
  #backend: Backend | null = null;
  #call: Call = notStarted;

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

  /** Calls user code; what it throws is an answer, too. */
  async answer(call: IncomingCall): Promise<Answer> {
    const beganMs = performance.now();
    try {
      const result = await this.#call(new BackendRequest(call));
      call.userMs = performance.now() - beganMs;
      return await toAnswer(result, call);
    } catch (error) {
      call.userMs ||= performance.now() - beganMs;
      noteFailure(call.head.id, error);
      return failureAnswer(error, call);
    }
  }

  /** Several calls as one; the answers in their order. */
  answerTogether(calls: readonly IncomingCall[]): Promise<readonly WholeAnswer[]> {
    return answerBatch(calls, (items) => this.#backend?.predictBatch?.(items));
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

async function outcome(run: () => unknown): Promise<Outcome> {
  try {
    await run();
    return { ok: true };
  } catch (error) {
    return { ok: false, error: tracebackOf(error) };
  }
}

function notStarted(): never {
  throw new Error('the backend was not started');
}
