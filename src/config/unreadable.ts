import { codeOf, messageOf } from '../lib/errors.ts';

const WORDS: Readonly<Record<string, string>> = {
  EISDIR: 'a folder, not a file',
  EACCES: 'its permissions (or those of a folder above it) keep this user from reading it',
  ELOOP: 'a link that leads back to itself',
};

/** Why a file that a person named cannot be read, in words. */
export function whyUnreadable(error: unknown): string {
  return WORDS[codeOf(error) ?? ''] ?? messageOf(error);
}
