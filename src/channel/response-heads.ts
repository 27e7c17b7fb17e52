import { parsePayload } from './dial.ts';
import type { Frame } from './frames.ts';
import type { ResponseHead } from './messages.ts';

/** Heads with more in them are rarely the same twice. */
const LONGEST_BYTES = 512;
/** A replica answers with a few kinds of heads, times the lengths that its answers have. */
const MOST_HEADS = 512;

/**
 * The heads that a connection has sent, parsed once each: most answers of a replica begin with the same bytes. The same
 * object is returned for them, so others can keep what they find out about it, too.
 */
export class ResponseHeads {
  readonly #known = new Map<string, ResponseHead>();

  /** @throws ChannelError CHANNEL_PROTOCOL when it is not a JSON object */
  read(frame: Frame): ResponseHead {
    const { payload } = frame;
    if (payload.length > LONGEST_BYTES) return parsePayload(frame) as ResponseHead;
    const bytes = payload.toString('latin1');
    const known = this.#known.get(bytes);
    if (known !== undefined) return known;
    const head = parsePayload(frame) as ResponseHead;
    if (this.#known.size >= MOST_HEADS) this.#known.clear();
    this.#known.set(bytes, head);
    return head;
  }
}
