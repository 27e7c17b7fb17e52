import { join } from 'node:path';
import type { ModelPin } from '../../cluster/spec/types.ts';
import type { ModelUri } from '../../config/model-uri.ts';
import { readIfThere, writeDurably } from '../../lib/files.ts';
import { hashOf } from '../../lib/hash.ts';
import type { RemoteListing } from '../remote-listing.ts';

/** What a server had under a URI when a revision was pinned by it, and what that turned out to hold. */
export interface KnownListing {
  /** as conf.ini has it; null on a node that has it from another */
  readonly uri: string | null;
  readonly files: RemoteListing['files'];
  /** hash of the content; null: it has not come yet */
  readonly content: string | null;
}

/** The name of a listing: other files, sizes or versions have another. */
export function listingId(uri: ModelUri, fingerprint: string): string {
  return hashOf([uri.text, fingerprint]);
}

/** Why a model can only be fetched as a whole before it is loaded; null: it can come while it is loaded. */
export function unstreamable({ files, fingerprint }: RemoteListing): string | null {
  if (fingerprint === null) return 'its server does not say how much there is, or when it changes';
  const isUnranged = files.some(({ file }) => !file.hasRanges && (file.sizeBytes ?? 0) > 0);
  return isUnranged ? 'its server gives no parts of a file' : null;
}

/** The listings that revisions of this machine are pinned by: a file for each, so that a restart goes on with them. */
export class Listings {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @returns null for one that is not known here */
  async read(id: string): Promise<KnownListing | null> {
    const text = await readIfThere(this.#pathOf(id));
    if (text === null) return null;
    try {
      return JSON.parse(text) as KnownListing;
    } catch {
      return null;
    }
  }

  async write(id: string, listing: KnownListing): Promise<void> {
    await writeDurably(this.#pathOf(id), JSON.stringify(listing));
  }

  /** Hashes of what pins name; of those by a listing alone, what that has turned out to hold. */
  async contentsOf(pins: readonly ModelPin[]): Promise<ReadonlySet<string>> {
    const named = pins.map(async (pin) =>
      pin.sha256 === null ? ((await this.read(pin.listing))?.content ?? null) : pin.sha256,
    );
    return new Set((await Promise.all(named)).filter((hash) => hash !== null));
  }

  #pathOf(id: string): string {
    return join(this.#folder, `${id}.json`);
  }
}
