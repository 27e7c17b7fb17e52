import { failureAnswer, toAnswer, type WholeAnswer } from './answer.ts';
import type { IncomingCall } from './incoming-call.ts';
import { noteFailure, noteThrown } from './note.ts';
import { BackendRequest } from './request.ts';

type PredictBatch = (items: unknown[]) => unknown;

/** What one call of a batch has: its parameters, or already its result. */
interface Item {
  readonly call: IncomingCall;
  readonly parameters: unknown;
  /** set when its body is no JSON */
  readonly failure: Error | null;
}

/**
 * The answers to several calls from one call of `predictBatch`. An item of its result that is an Error fails its own call; when the whole
 * call fails, or its result has another length, the items are tried one by one, so that a bad one fails alone.
 */
export async function answerBatch(
  calls: readonly IncomingCall[],
  predictBatch: PredictBatch,
): Promise<readonly WholeAnswer[]> {
  const items = await Promise.all(calls.map(readItem));
  const good = items.filter((item) => item.failure === null);
  const results = new Map(good.length > 0 ? await resultsOf(good, predictBatch) : []);
  return Promise.all(items.map((item) => answerOf(item, item.failure ?? results.get(item))));
}

async function readItem(call: IncomingCall): Promise<Item> {
  try {
    return { call, parameters: await new BackendRequest(call).json(), failure: null };
  } catch (error) {
    return { call, parameters: null, failure: asError(error) };
  }
}

async function resultsOf(
  items: readonly Item[],
  predictBatch: PredictBatch,
): Promise<readonly (readonly [Item, unknown])[]> {
  try {
    const results = await timed(items, () => predictBatch(items.map((item) => item.parameters)));
    if (!Array.isArray(results) || results.length !== items.length) throw wrongLength(results, items.length);
    return items.map((item, index) => [item, results[index]] as const);
  } catch (error) {
    const [only] = items;
    if (items.length === 1 && only !== undefined) return [[only, asError(error)]];
    noteThrown(`predictBatch of ${items.length} items failed, so they are tried one by one`, error);
    const alone: (readonly [Item, unknown])[] = [];
    for (const item of items) alone.push(...(await resultsOf([item], predictBatch)));
    return alone;
  }
}

/** User code has these together for as long as that takes. */
async function timed(items: readonly Item[], run: () => unknown): Promise<unknown> {
  const beganMs = performance.now();
  try {
    return await run();
  } finally {
    for (const { call } of items) call.userMs += performance.now() - beganMs;
  }
}

async function answerOf({ call }: Item, result: unknown): Promise<WholeAnswer> {
  try {
    if (result instanceof Error) throw result;
    const answer = await toAnswer(result, call);
    if ('body' in answer) return answer;
    await answer.rest.close();
    throw new TypeError('predictBatch returned a stream for an item: only whole results can be in a batch');
  } catch (error) {
    noteFailure(call.head.id, error);
    return failureAnswer(error, call);
  }
}

function wrongLength(results: unknown, expected: number): TypeError {
  const found = Array.isArray(results) ? `${results.length} results` : `${typeof results}, no array,`;
  return new TypeError(`predictBatch returned ${found} for ${expected} items`);
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
