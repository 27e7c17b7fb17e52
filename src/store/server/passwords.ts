import { sha256 } from '../../lib/hash.ts';

/** Passwords that a store's server takes: the first is shown to it, all are accepted by it. */
export type StorePasswords = readonly [string, ...string[]];

/** The rules of the default user, by which everybody comes: hashes, so that nothing tells the passwords themselves. */
export function userRules(passwords: StorePasswords): readonly string[] {
  return ['on', ...passwords.map((password) => `#${sha256(password)}`), '~*', '&*', '+@all'];
}
