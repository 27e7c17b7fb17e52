import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ContentStore, StoredContent } from '../../lib/content/content-store.ts';
import { codeOf, messageOf } from '../../lib/errors.ts';
import { composeFiles } from '../oci/compose.ts';
import { keepComposed } from '../oci/keep-composed.ts';
import { LayerDraft } from '../oci/layer-draft.ts';
import { MAX_FILES_IN_A_FOLDER, ModelError } from '../pins.ts';
import { archiveReader } from './archive-entries.ts';

export interface ArchiveOptions {
  /** for messages */
  readonly model: string;
  /** what user code calls the model */
  readonly name: string;
  /** where its files grow, on the disk of the store: nobody else's */
  readonly folder: string;
  /** where programs are that unpack */
  readonly searchPath: string;
}

/** Text shrinks to a tenth, weights hardly at all; zeros shrink to next to nothing. */
const MOST_TIMES = 100;
/** of a small archive */
const LEAST_BYTES = 1024 ** 3;
const READ_BYTES = 1024 ** 2;

/**
 * Unpacks a tar (as it is, or packed by gzip or zstd, whatever it is called) and keeps what it holds as a model.
 * @throws ModelError for what is no such archive, for entries that lead out of it or are neither files nor folders nor
 * links among them, and for more than an archive of its size can honestly hold; ENOSPC
 */
export async function unpackArchive(
  path: string,
  options: ArchiveOptions,
  store: ContentStore,
): Promise<StoredContent> {
  const { model, name, folder, searchPath } = options;
  try {
    await refuseZip(path);
    const maxBytes = Math.max(LEAST_BYTES, MOST_TIMES * (await stat(path)).size);
    const draft = new LayerDraft(join(folder, 'entries'), {
      meaningOf: archiveReader(name, maxBytes),
      isEndNeeded: true,
    });
    const { entries } = await draft.fetch(async (take) => {
      for await (const bytes of createReadStream(path, { highWaterMark: READ_BYTES })) await take(bytes);
    }, searchPath);
    const files = composeFiles([entries], name, MAX_FILES_IN_A_FOLDER) ?? [];
    if (files.length === 0) throw unusable(model, 'the archive holds no files');
    return await keepComposed(
      files,
      { tree: join(folder, 'tree'), pathOf: (file) => draft.pathOf(file) },
      store,
    );
  } catch (error) {
    if (!/^(?:IMAGE_|TAR_|UNPACK_|CONTENT_UNSAFE)/.test(codeOf(error) ?? '')) throw error;
    throw unusable(model, messageOf(error), error);
  }
}

async function refuseZip(path: string): Promise<void> {
  const file = await open(path, 'r');
  const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0).finally(() => file.close());
  if (bytesRead < 2 || buffer.toString('latin1') !== 'PK') return;
  throw Object.assign(
    new Error(
      'it is a zip, and only .tar, .tar.gz and .tar.zst are unpacked; without "unpack+" it comes as it is',
    ),
    { code: 'UNPACK_ZIP' },
  );
}

function unusable(model: string, what: string, cause?: unknown): ModelError {
  return new ModelError(`${model}: ${what}`, { code: 'MODEL_UNUSABLE', model }, { cause });
}
