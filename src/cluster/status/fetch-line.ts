import { sizeText } from '../placement/amounts.ts';
import type { ModelFetch } from './types.ts';

/** A fetch for a person who waits: how much is there, how fast it comes, how long it will take. */
export function fetchLine({ model, fetchedBytes, totalBytes, bytesPerSecond }: ModelFetch): string {
  const total = totalBytes === null ? '' : ` of ${sizeText(totalBytes)}`;
  const rate = bytesPerSecond > 0 ? `, ${sizeText(bytesPerSecond)}/s` : '';
  const leftS = totalBytes === null ? Number.NaN : (totalBytes - fetchedBytes) / bytesPerSecond;
  const left = Number.isFinite(leftS) && leftS >= 1 ? `, ${Math.ceil(leftS)} s left` : '';
  return `fetching ${model}: ${sizeText(fetchedBytes)}${total}${rate}${left}`;
}
