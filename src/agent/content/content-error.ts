import { ServeError } from '../../lib/errors.ts';

/** A package or model cannot be had on this node; the message says what to do. */
export class ContentError extends ServeError<{
  readonly code: 'DISK_FULL' | 'CONTENT_MISSING' | 'CONTENT_MISMATCH' | 'CONTENT_UNREACHABLE';
}> {
  override readonly name = 'ContentError';

  constructor(code: ContentError['data']['code'], message: string) {
    super(message, { code });
  }
}
