import { isIP } from 'node:net';
import { ServeError } from '../lib/errors.ts';

/** Wrong tokens from one address in a minute, before more are not even looked at. */
const WRONG_LOGINS = 30;
const WINDOW_MS = 60_000;
/** Addresses that are remembered. The one whose first wrong token is longest ago is forgotten first. */
const MOST_ADDRESSES = 1_000;

/** Wrong logins of the last minute, by address: so who guesses keeps out nobody but their own machine. */
export class LoginAttempts {
  /** when they were, in ms since 1970 */
  readonly #wrong = new Map<string, readonly number[]>();

  /** @throws ServeError LOGIN_LIMIT */
  check(address: string, nowMs: number): void {
    if (this.#recent(address, nowMs).length < WRONG_LOGINS) return;
    const info = 'too many wrong tokens from your address in the last minute; wait a minute and try again';
    throw new ServeError(info, { code: 'LOGIN_LIMIT' });
  }

  count(address: string, nowMs: number): void {
    this.#wrong.set(networkOf(address), [...this.#recent(address, nowMs), nowMs]);
    const [oldest] = this.#wrong.keys();
    if (this.#wrong.size > MOST_ADDRESSES && oldest !== undefined) this.#wrong.delete(oldest);
  }

  #recent(address: string, nowMs: number): readonly number[] {
    return (this.#wrong.get(networkOf(address)) ?? []).filter((atMs) => nowMs - atMs < WINDOW_MS);
  }
}

/** Of IPv6 the first 64 bits: a machine has all the addresses behind them. */
function networkOf(address: string): string {
  if (isIP(address) !== 6 || address.startsWith('::ffff:')) return address;
  const [head = [], tail = []] = address
    .split('::')
    .map((part) => part.split(':').filter((group) => group !== ''));
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0');
  return [...head, ...zeros, ...tail].slice(0, 4).join(':');
}
