import { mkdir, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { folderSizeBytes } from '../files.ts';

/** What is about to be written: `totalBytes` in all below a folder that may hold some of it already. */
export interface RoomWish {
  readonly folder: string;
  readonly totalBytes: number;
}

/** Why there is no room. */
export interface Shortage {
  /** what is missing on the disk, all that has to stay free included; or in the cache, where it has a limit */
  readonly neededBytes: number;
  readonly freeBytes: number;
  /** the cache is full, and not the disk: what it may hold, and how much of that cannot go */
  readonly cache: { readonly limitBytes: number; readonly inUseBytes: number } | null;
}

export type Reservation =
  | { readonly ok: true; readonly release: () => void }
  | { readonly ok: false; readonly shortage: Shortage };

/** Where fetched models get room. */
export interface Room {
  /** Makes room for what is still to come of a wish, and keeps it until it is released. */
  reserve(wish: RoomWish): Promise<Reservation>;
  /** Keeps a content until the signal comes, whatever else needs room. */
  hold(hash: string, signal: AbortSignal): void;
}

/** Room as it is: nothing makes way. @param spareBytes what is to stay free on the disk */
export function diskRoom(spareBytes: number): Room {
  return {
    reserve: async (wish) => {
      const freeBytes = await freeBytesAt(dirname(wish.folder));
      const neededBytes = (await outstandingBytes(wish)) + spareBytes;
      if (neededBytes > freeBytes) return { ok: false, shortage: { neededBytes, freeBytes, cache: null } };
      return { ok: true, release: () => undefined };
    },
    hold: () => undefined,
  };
}

/** What is free on the disk of a folder, which is made. */
export async function freeBytesAt(folder: string): Promise<number> {
  await mkdir(folder, { recursive: true });
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** What is still to be written of a wish. Files that grow have their size from the start: their blocks are counted. */
export async function outstandingBytes({ folder, totalBytes }: RoomWish): Promise<number> {
  return Math.max(0, totalBytes - (await folderSizeBytes(folder)));
}
