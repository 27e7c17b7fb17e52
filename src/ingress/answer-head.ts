import { validateHeaderName, validateHeaderValue } from 'node:http';
import type { ResponseHead } from '../channel/messages.ts';
import { messageOf } from '../lib/errors.ts';
import { announcedLength, answeredHeaders, type HeaderPairs } from './headers.ts';

/** The head of a replica's answer, checked and ready for node:http. */
export interface AnswerHead {
  readonly status: number;
  /** names and values in turn, without the length */
  readonly headers: readonly string[];
  /** null where none is announced */
  readonly announcedBytes: number | null;
  /** what HTTP does not allow in it, as words; null where it is fine */
  readonly problem: string | null;
}

/** A channel gives the same object for the same head again, which is most of the time: looked through once each. */
const known = new WeakMap<ResponseHead, AnswerHead>();

export function answerHead(head: ResponseHead): AnswerHead {
  let prepared = known.get(head);
  if (prepared === undefined) {
    prepared = prepare(head);
    known.set(head, prepared);
  }
  return prepared;
}

function prepare(head: ResponseHead): AnswerHead {
  const problem = problemOf(head);
  return {
    status: head.status,
    headers: problem === null ? answeredHeaders(head.headers) : [],
    announcedBytes: problem === null ? announcedLength(head.headers) : null,
    problem,
  };
}

function problemOf({ status, headers }: ResponseHead): string | null {
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    return `its status is ${status}, expected 200 to 599`;
  }
  return headerProblem(headers);
}

function headerProblem(headers: HeaderPairs): string | null {
  try {
    for (const [name, value] of headers) {
      validateHeaderName(name);
      validateHeaderValue(name, value);
    }
    return null;
  } catch (error) {
    return messageOf(error);
  }
}
