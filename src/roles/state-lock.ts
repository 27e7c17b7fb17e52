import type { NodeRole } from '../cluster/nodes/types.ts';
import type { StatePaths } from '../config/paths.ts';
import { readIfThere } from '../lib/files.ts';
import type { ProcessIdentity } from '../lib/process/identity.ts';

/** Who holds a state directory, and how its node is reached from this machine. */
export interface StateLock extends ProcessIdentity {
  readonly role: NodeRole;
  /** `host:port` of the admin API, on a head */
  readonly admin: string | null;
}

/** Who holds the state directory, or null; whether that process still runs is the caller's to ask. */
export async function readStateLock(paths: StatePaths): Promise<StateLock | null> {
  const text = await readIfThere(paths.lock);
  if (text === null) return null;
  try {
    return JSON.parse(text) as StateLock;
  } catch {
    return null; // written by hand, or by a file system that lost it: nobody holds it
  }
}

/** Lock file of whoever takes a state directory, or makes sure that nobody does meanwhile. */
export function guardOf({ lock }: Pick<StatePaths, 'lock'>): string {
  return `${lock}.guard`;
}
