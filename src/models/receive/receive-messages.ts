import type { TlsSettings } from './connection.ts';
import type { Received, ReceiveTask } from './types.ts';

/** What a receiving thread is started with. */
export interface ThreadSettings {
  readonly tls: TlsSettings;
}

/** To a receiving thread. */
export type ToThread =
  | { readonly type: 'receive'; readonly id: number; readonly task: ReceiveTask }
  | { readonly type: 'abort'; readonly id: number };

/** From a receiving thread. Each `receive` is answered once, by `received` or `failed`, also when it was aborted. */
export type FromThread =
  | { readonly type: 'progress'; readonly id: number; readonly count: number }
  | { readonly type: 'received'; readonly id: number; readonly received: Received }
  | { readonly type: 'failed'; readonly id: number; readonly code: string | null; readonly message: string };
