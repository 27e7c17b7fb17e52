import type { Variables } from '../../config/environment.ts';
import { isImageUri, publicUri, readModelUri } from '../../config/model-uri.ts';
import type { Manifest } from '../../lib/content/manifest.ts';
import type { Log } from '../../lib/log.ts';
import type { RemoteListing } from '../remote-listing.ts';
import { Dragonfly } from '../sources/dragonfly/dragonfly.ts';
import { Exchange, type ExchangeOptions, PATIENT } from '../sources/exchange.ts';
import { openSource } from '../sources/open-source.ts';
import type { ModelSource } from '../sources/types.ts';
import type { Listings } from './listings.ts';

/** Where the bytes of a listing come from. */
export interface OpenListing {
  /** for people: the URI without its query, or what else it is known by */
  readonly model: string;
  readonly files: RemoteListing['files'];
  readonly source: ModelSource;
  /** hash of what it holds where that is known: then it can be had whole under that name */
  readonly content: string | null;
  /** sees that what has come is what others have. @throws when it is not */
  check(files: Manifest, signal: AbortSignal): Promise<void>;
}

/** Whoever can give what listings name. */
export interface StreamOrigin {
  /** @returns null for a listing that it does not know */
  open(listing: string, signal: AbortSignal): Promise<OpenListing | null>;
}

/** The servers that URIs name, with the credentials of this machine. */
export class ServerOrigin implements StreamOrigin {
  readonly #variables: Variables;
  readonly #listings: Listings;
  readonly #exchange: Exchange;
  readonly #dragonfly: Dragonfly;

  /** @param options with the log for what Dragonfly made of its tasks */
  constructor(
    variables: Variables,
    listings: Listings,
    { exchange = PATIENT, log }: { readonly exchange?: ExchangeOptions; readonly log: Log },
  ) {
    this.#variables = variables;
    this.#listings = listings;
    this.#exchange = new Exchange(variables, exchange);
    this.#dragonfly = new Dragonfly({ variables, exchange, log });
  }

  /** @throws SourceError SOURCE_CREDENTIALS */
  async open(listing: string): Promise<OpenListing | null> {
    const known = await this.#listings.read(listing);
    const reading = known?.uri == null ? null : readModelUri(known.uri);
    if (known === null || reading?.ok !== true || isImageUri(reading.uri)) return null;
    return {
      model: publicUri(reading.uri.text),
      files: known.files,
      source: await openSource(reading.uri, this.#variables, this.#exchange, this.#dragonfly),
      content: null,
      check: async () => undefined, // what it holds is learned here, and nowhere else
    };
  }

  /** Ends all requests. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([this.#exchange.close(), this.#dragonfly.close()]);
  }
}
