import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** What one handshake is about: both ends and both nonces, so that no proof fits another connection or direction. */
export interface LinkHandshake {
  readonly connectorNode: string;
  readonly connectorNonce: string;
  readonly answererNode: string;
  readonly answererNonce: string;
}

/** 32 random bytes in hex. */
export function linkNonce(): string {
  return randomBytes(32).toString('hex');
}

/** The proof of one side, in hex: `answer` for who was connected to, `connect` for who connects. */
export function linkMac(linkKey: string, side: 'answer' | 'connect', handshake: LinkHandshake): string {
  const covered = [
    side,
    handshake.connectorNode,
    handshake.connectorNonce,
    handshake.answererNode,
    handshake.answererNonce,
  ];
  return createHmac('sha256', linkKey).update(JSON.stringify(covered)).digest('hex');
}

/**
 * The key that a proof was made with, of those that are accepted; null: with none of them. Takes the same time wherever
 * a wrong proof differs.
 */
export function provenKey(
  linkKeys: readonly string[],
  side: 'answer' | 'connect',
  { handshake, mac }: { readonly handshake: LinkHandshake; readonly mac: unknown },
): string | null {
  return linkKeys.find((key) => isSame(linkMac(key, side, handshake), mac)) ?? null;
}

function isSame(expected: string, received: unknown): boolean {
  if (typeof received !== 'string' || received.length !== expected.length) return false;
  return timingSafeEqual(Buffer.from(expected), Buffer.from(received));
}
