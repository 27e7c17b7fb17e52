import { sizeText } from '../cluster/placement/amounts.ts';
import type { Room, RoomWish, Shortage } from '../lib/content/room.ts';
import { codeOf } from '../lib/errors.ts';
import { ModelError } from './pins.ts';

/**
 * Does what fills the disk with a model. A disk that others fill meanwhile may have room once more when what nothing
 * needs has made way: then it is done a second time.
 * @param model for messages
 * @throws ModelError MODEL_NO_ROOM; what `fill` throws
 */
export async function inRoom<Result>(
  room: Room,
  model: string,
  wish: RoomWish,
  fill: () => Promise<Result>,
): Promise<Result> {
  for (let attempt = 1; ; attempt += 1) {
    const reservation = await room.reserve(wish);
    if (!reservation.ok) throw noRoom(model, reservation.shortage);
    try {
      return await fill();
    } catch (error) {
      if (!isFull(error)) throw error;
      if (attempt === 2) throw noRoom(model, null);
    } finally {
      reservation.release();
    }
  }
}

function isFull(error: unknown): boolean {
  return codeOf(error) === 'ENOSPC' || codeOf(error) === 'EDQUOT';
}

function noRoom(model: string, shortage: Shortage | null): ModelError {
  return new ModelError(`${model}: ${shortageText(shortage)}`, { code: 'MODEL_NO_ROOM', model });
}

/** Where the room is missing, and what to do; what has come is kept in any case. */
function shortageText(shortage: Shortage | null): string {
  if (shortage?.cache == null) {
    const sizes =
      shortage === null
        ? ''
        : ` (${sizeText(shortage.neededBytes)} are needed, ${sizeText(shortage.freeBytes)} are free)`;
    return `the disk of the state directory is too full for it${sizes}; make room, and apply again`;
  }
  const { limitBytes, inUseBytes } = shortage.cache;
  return (
    `${sizeText(shortage.neededBytes)} are needed; this node keeps ${sizeText(limitBytes)} of models at most (--model-cache), ` +
    `of which ${sizeText(inUseBytes)} are needed by what runs or is being fetched; start it with more, and apply again`
  );
}
