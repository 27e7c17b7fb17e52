import { codeOf } from '../../lib/errors.ts';

/** Something that is worth another try. */
class PassingFailure extends Error {}

/** Says that a body ended early or is not what was asked for: another try may have it. */
export function passing(what: string): Error {
  return new PassingFailure(what);
}

/** Whether a later try may find it better. */
export function isPassing(error: unknown): boolean {
  if (error instanceof PassingFailure) return true;
  const code = codeOf(error) ?? '';
  if (code.startsWith('UND_ERR_')) return code !== 'UND_ERR_INVALID_ARG';
  return /^(?:ECONN|EPIPE|ETIMEDOUT|EAI_AGAIN|ENOTFOUND|EHOST|ENET)/.test(code);
}
