import { type FSWatcher, mkdirSync, watch } from 'node:fs';
import { messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';

/**
 * Calls back when something appears or goes in the folder of sockets, which is made where it is missing. Without a
 * watch (no inotify instances left) reconnecting takes up to half a second longer, and nothing else changes.
 * @returns ends the watch; idempotent
 */
export function watchSockets(folder: string, log: Log, onChange: () => void): () => void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  let watcher: FSWatcher;
  try {
    watcher = watch(folder, (event) => {
      if (event === 'rename') onChange();
    });
  } catch (error) {
    log.warn({ folder, problem: messageOf(error) }, 'sockets are not watched');
    return () => {};
  }
  watcher.on('error', (error) => {
    log.warn({ folder, problem: messageOf(error) }, 'sockets are not watched any more');
    watcher.close();
  });
  return () => watcher.close();
}
