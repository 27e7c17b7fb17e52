import type { FileDigest } from '../../lib/file-digests.ts';

/** To a thread that hashes files while they come. */
export type ToFrontThread =
  | {
      readonly type: 'advance';
      readonly id: number;
      readonly path: string;
      /** up to here it is there for good */
      readonly toBytes: number;
      readonly isWhole: boolean;
    }
  /** nobody wants to know any more */
  | { readonly type: 'drop'; readonly id: number };

/** From such a thread, once for each file that was not dropped before. */
export type FromFrontThread =
  | { readonly type: 'digest'; readonly id: number; readonly digest: FileDigest }
  | { readonly type: 'failed'; readonly id: number; readonly code: string | null; readonly message: string };
