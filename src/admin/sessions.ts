import { deriveKey, isSameSecret } from '../lib/hash.ts';

/** A person works for a day with one login. */
const LIFE_MS = 12 * 60 * 60 * 1000;

/**
 * Logins of browsers: a cookie that holds when it ends, and a proof of that. Nothing is kept here, so a login outlives a
 * restart of the head, and ends with the cluster's token.
 */
export class Sessions {
  readonly #secret: string;
  readonly #name: string;

  /** @param port of the dashboard: browsers do not keep the cookies of two ports of one machine apart */
  constructor(apiKey: string, port: number) {
    this.#secret = deriveKey(apiKey, 'dashboard session');
    this.#name = `modelserve_${port}`;
  }

  /** The `set-cookie` header of a new login. @param isSecure the page came over TLS */
  open(nowMs: number, isSecure: boolean): string {
    const endsMs = nowMs + LIFE_MS;
    return this.#cookie(`${endsMs}.${this.#proof(endsMs)}`, LIFE_MS / 1000, isSecure);
  }

  /** The `set-cookie` header that ends a login. */
  close(isSecure: boolean): string {
    return this.#cookie('', 0, isSecure);
  }

  /** Whether a `cookie` header holds a login that has not ended. */
  holds(cookies: string | undefined, nowMs: number): boolean {
    const [ends = '', proof = ''] = cookieOf(cookies, this.#name).split('.');
    const endsMs = /^\d{1,15}$/.test(ends) ? Number(ends) : 0;
    return isSameSecret(proof, this.#proof(endsMs)) && nowMs < endsMs;
  }

  #proof(endsMs: number): string {
    return deriveKey(this.#secret, String(endsMs));
  }

  #cookie(value: string, maxAgeS: number, isSecure: boolean): string {
    const secure = isSecure ? '; Secure' : '';
    return `${this.#name}=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${maxAgeS}${secure}`;
  }
}

function cookieOf(cookies: string | undefined, name: string): string {
  for (const pair of (cookies ?? '').split(';')) {
    const [key = '', value = ''] = pair.trim().split('=');
    if (key === name) return value;
  }
  return '';
}
