import { z } from 'zod';

/** From 1970 on, either way: what a Date can hold. */
const MOST_MS = 8.64e15;

/** ISO 8601, or ms since 1970. */
export const moment = z.string().transform((text, context) => {
  const atMs = /^\d+$/.test(text) ? Number(text) : Date.parse(text);
  if (Math.abs(atMs) <= MOST_MS) return atMs;
  context.issues.push({ code: 'custom', message: 'expected ISO 8601 or ms since 1970', input: text });
  return z.NEVER;
});
