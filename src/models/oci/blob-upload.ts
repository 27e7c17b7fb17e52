import type { Answer } from '../sources/exchange.ts';
import { passing } from '../sources/passing.ts';
import { encodeStrictly } from '../sources/requests.ts';
import { SourceError } from '../sources/types.ts';
import type { Registry, RegistryRequest } from './registry.ts';

/** What goes in one request: small enough to be sent again when a connection breaks. */
const PART_BYTES = 16 * 1024 ** 2;

type Address = Pick<RegistryRequest, 'path' | 'origin'>;

/** How often a blob is begun anew that a registry has lost the thread of. */
const MAX_UPLOADS = 5;

/** The registry does not know the upload any more: Debian's forgets one whose part was cut off. */
class UploadLost extends Error {}

/**
 * Brings a blob into a registry, unless it is there. A small one goes in one request, a large one in parts; a part whose
 * connection broke goes on where the registry says that it has got to, or where it cannot say the blob begins anew.
 * @param feed writes the bytes, from the start each time it is called
 * @throws SourceError, also when the registry has got something else than the digest says; what `feed` throws
 */
export async function uploadBlob(
  registry: Registry,
  digest: string,
  feed: (write: (bytes: Buffer) => Promise<void>) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  for (let uploads = 1; ; uploads += 1) {
    const upload = new BlobUpload(registry, signal);
    try {
      await feed((bytes) => upload.write(bytes));
      return await upload.end(digest);
    } catch (error) {
      if (!(error instanceof UploadLost)) throw error;
      if (uploads < MAX_UPLOADS) continue;
      throw new SourceError(
        `${registry.place}: the connection broke ${uploads} times in a layer, and the registry forgets what has come; push again`,
        { code: 'SOURCE_FAILED' },
      );
    }
  }
}

class BlobUpload {
  readonly #registry: Registry;
  readonly #signal: AbortSignal;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** where parts go; null before the first */
  #address: Address | null = null;
  #sentBytes = 0;

  constructor(registry: Registry, signal: AbortSignal) {
    this.#registry = registry;
    this.#signal = signal;
  }

  async write(bytes: Buffer): Promise<void> {
    this.#waiting.push(Buffer.from(bytes)); // the reader may use its buffer again
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes < PART_BYTES) return;
    await this.#sendPart(this.#takeWaiting());
  }

  async end(digest: string): Promise<void> {
    const bytes = this.#takeWaiting();
    if (this.#address === null) return await this.#sendWhole(bytes, digest);
    if (bytes.length > 0) await this.#sendPart(bytes);
    await this.#put(() => ({ ...withDigest(this.#address, digest), body: Buffer.alloc(0) }));
  }

  #takeWaiting(): Buffer {
    const bytes = Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#waitingBytes = 0;
    return bytes;
  }

  /** Each try is an upload of its own: what has come of one that broke is the registry's to forget. */
  async #sendWhole(body: Buffer, digest: string): Promise<void> {
    await this.#put(async () => ({ ...withDigest(await this.#begin(), digest), body }));
  }

  async #put(make: () => Promise<RegistryRequest> | RegistryRequest): Promise<void> {
    const headers = { 'content-type': 'application/octet-stream' };
    await this.#registry.request(
      async () => ({ ...(await make()), method: 'PUT', headers }),
      async (answer) => {
        if (answer.statusCode !== 201) throw await this.#registry.refusal(answer);
      },
      this.#signal,
    );
  }

  async #begin(): Promise<Address> {
    return await this.#registry.request(
      () => ({ method: 'POST', path: 'blobs/uploads/', body: Buffer.alloc(0) }),
      async (answer) => await this.#nextAddress(answer, [202]),
      this.#signal,
    );
  }

  async #sendPart(bytes: Buffer): Promise<void> {
    const from = this.#sentBytes;
    const end = from + bytes.length;
    let tries = 0;
    this.#address ??= await this.#begin();
    this.#address = await this.#registry.request(
      async () => {
        tries += 1;
        const at = tries === 1 ? from : await this.#arrivedBytes();
        const body = bytes.subarray(Math.max(0, at - from));
        const headers = { 'content-type': 'application/octet-stream', 'content-range': `${at}-${end - 1}` };
        return { ...(this.#address ?? { path: '' }), method: 'PATCH', headers, body };
      },
      async (answer) => {
        if (answer.statusCode === 416) throw passing('it has got another part');
        return await this.#nextAddress(answer, [202]);
      },
      this.#signal,
    );
    this.#sentBytes = end;
  }

  /** How much the registry has got. */
  async #arrivedBytes(): Promise<number> {
    return await this.#registry.request(
      () => this.#address ?? { path: '' },
      async (answer) => {
        if (answer.statusCode === 404) throw new UploadLost();
        this.#address = await this.#nextAddress(answer, [204, 202]);
        const last = /^(?:bytes=)?0-(\d+)$/.exec(String(answer.headers['range'] ?? ''))?.[1];
        // A registry that has nothing yet says 0-0, which would be one byte as well: no part is that small.
        return last === undefined || last === '0' ? 0 : Number(last) + 1;
      },
      this.#signal,
    );
  }

  /** Where the registry wants the next bytes. */
  async #nextAddress(answer: Answer, expected: readonly number[]): Promise<Address> {
    if (!expected.includes(answer.statusCode)) throw await this.#registry.refusal(answer);
    const { location } = answer.headers;
    const base = this.#registry.origin;
    if (typeof location !== 'string' || !URL.canParse(location, base)) {
      throw new SourceError(`${this.#registry.place}: the registry takes an upload and does not say where`, {
        code: 'SOURCE_ANSWER',
      });
    }
    const url = new URL(location, base);
    const path = `${url.pathname}${url.search}`;
    // A registry behind a proxy may think that it is spoken to by http.
    return url.host === new URL(base).host ? { path } : { path, origin: url.origin };
  }
}

function withDigest(address: Address | null, digest: string): Address {
  const { path, ...rest } = address ?? { path: '' };
  return { ...rest, path: `${path}${path.includes('?') ? '&' : '?'}digest=${encodeStrictly(digest)}` };
}
