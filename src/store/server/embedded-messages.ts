import type { StorePasswords } from './passwords.ts';
import type { ServerAddress } from './running-server.ts';

/** What the embedded Valkey's thread is started with. */
export interface EmbeddedOptions {
  readonly address: ServerAddress;
  readonly passwords: StorePasswords;
  /** holds dump.rdb */
  readonly dataDir: string;
  readonly logFile: string;
  /** path of valkey.wasm */
  readonly wasmFile: string;
  readonly saveEveryMs: number;
}

export type ToEmbedded =
  | { readonly type: 'stop' }
  /** the server takes these from now on */
  | { readonly type: 'passwords'; readonly passwords: StorePasswords };

export type ToKeeper =
  | { readonly type: 'ready' }
  /** the data is not on disk; it is tried again at the next turn */
  | { readonly type: 'save-failed'; readonly message: string };
