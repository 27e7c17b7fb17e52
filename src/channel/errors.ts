import { type FailureData, ServeError } from '../lib/errors.ts';

export type ChannelErrorCode =
  | 'CHANNEL_CONNECT' // nobody listens there, or the connection broke before its handshake
  | 'CHANNEL_TIMEOUT' // no answer within the deadline
  | 'CHANNEL_CLOSED' // the connection ended
  | 'CHANNEL_VERSION' // the peer speaks another protocol version
  | 'CHANNEL_PROTOCOL' // the peer broke a rule of docs/channel.md
  | 'CHANNEL_AUTH'; // the peer does not hold the link key

/** What went wrong on a channel or link; the message names the peer. */
export class ChannelError extends ServeError<FailureData & { readonly code: ChannelErrorCode }> {
  override readonly name = 'ChannelError';

  constructor(code: ChannelErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, { code }, options);
  }
}
