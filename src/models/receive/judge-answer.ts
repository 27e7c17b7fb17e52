import type { AnswerHead, ExpectedPart } from './types.ts';

/** What an answer is, seen from what was asked for; 'refused' is all that no other word fits. */
export type Judgement = 'as asked' | 'another file' | 'another part' | 'refused';

/** Whether an answer is the part, of the very file, that was asked for. */
export function judgeAnswer(answer: AnswerHead, expected: ExpectedPart): Judgement {
  const { statusCode } = answer;
  if ([404, 412, 416].includes(statusCode)) return 'another file';
  if (statusCode !== (expected.offset === null ? 200 : 206)) return 'refused';
  if (isOtherVersion(versionOf(answer), expected.version)) return 'another file';
  if (expected.offset === null) return 'as asked';
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(headerOf(answer, 'content-range') ?? '') ?? [];
  if (Number(total) !== expected.totalBytes) return 'another file';
  return Number(start) === expected.offset ? 'as asked' : 'another part';
}

export function headerOf({ headers }: AnswerHead, name: string): string | null {
  const value = headers[name];
  return typeof value === 'string' ? value : null;
}

/** ETag, or the time of the last change. */
export function versionOf(answer: AnswerHead): string | null {
  return headerOf(answer, 'etag') ?? headerOf(answer, 'last-modified');
}

/** Listings of some stores have tags without quotes; what is not said is not different. */
function isOtherVersion(now: string | null, before: string | null): boolean {
  return now !== null && before !== null && now.replaceAll('"', '') !== before.replaceAll('"', '');
}
