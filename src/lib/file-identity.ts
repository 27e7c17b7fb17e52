import type { BigIntStats } from 'node:fs';

/** Changes with every write; the change time is in it because a copy can carry the old modification time over. */
export function identityOf(status: BigIntStats): string {
  return [status.ino, status.size, status.mtimeNs, status.ctimeNs].join(':');
}
