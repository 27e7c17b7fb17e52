import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelPin } from '../../cluster/spec/types.ts';
import { codeOf } from '../../lib/errors.ts';
import { PreparationError } from './preparation-error.ts';

/**
 * Sees that every model is on this node with the size that the revision pinned. Contents were hashed when the revision
 * was made; a folder is only looked for.
 * @throws PreparationError MODEL_MISSING naming the file
 */
export async function checkModels(modelRoot: string, pins: readonly ModelPin[]): Promise<void> {
  for (const pin of pins) {
    const path = join(modelRoot, pin.name);
    const found = await statOrNull(path);
    if (found === null) {
      throw new PreparationError(
        'MODEL_MISSING',
        `model ${path} is not on this node; nodes share a file system for now: put it there, or mount the folder`,
      );
    }
    if (found.isFile() && found.size !== pin.sizeBytes) {
      throw new PreparationError(
        'MODEL_MISSING',
        `model ${path} has ${found.size} bytes, the revision was made with ${pin.sizeBytes}: it was changed since; ` +
          'run `modelserve controller` again to take the new content',
      );
    }
  }
}

async function statOrNull(path: string): Promise<Awaited<ReturnType<typeof stat>> | null> {
  try {
    return await stat(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return null;
    throw error;
  }
}
