import { z } from 'zod';

/** ISO 8601, or ms since 1970. */
export const moment = z.string().transform((text, context) => {
  const atMs = /^\d+$/.test(text) ? Number(text) : Date.parse(text);
  if (Number.isFinite(atMs)) return atMs;
  context.issues.push({ code: 'custom', message: 'expected ISO 8601 or ms since 1970', input: text });
  return z.NEVER;
});
