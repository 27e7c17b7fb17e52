import { dirname, join, relative, sep } from 'node:path';
import { type FSWatcher, watch } from 'chokidar';
import { compileIgnore } from '../packages/ignore.ts';
import { describeFailure, ExitCode } from './exit.ts';
import { print, printError } from './output.ts';

/** An editor saves in several steps, and people save several files. */
const QUIET_MS = 200;

export interface WatchOptions {
  /** absolute path of conf.ini; packages lie beside it */
  readonly conf: string;
  /** ends the watch */
  readonly signal: AbortSignal;
}

/**
 * `modelserve controller --watch`: applies now and after every save of conf.ini or of a package, until it is told to end. A save while an
 * earlier one is still being rolled out is applied at once; mistakes and failures are told, and do not end the watch.
 * @param apply one run of the command; it stops waiting, without a word, when its signal aborts
 */
export async function watchAndApply(
  options: WatchOptions,
  apply: (signal: AbortSignal) => Promise<unknown>,
): Promise<ExitCode> {
  const { conf, signal } = options;
  const projectDir = dirname(conf);
  const saves = new Saves();
  const watcher = watchProject(conf, (path) => saves.add(relative(projectDir, path)));
  const end = () => saves.end();
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  try {
    await new Promise<void>((resolve) => watcher.once('ready', resolve));
    while (!saves.hasEnded) {
      const superseded = new AbortController();
      const running = tell(apply(superseded.signal), superseded.signal);
      void running.then(() => saves.hasEnded || saves.isWaiting || print('Waiting for a save; Ctrl-C ends.'));
      const saved = await saves.next();
      superseded.abort();
      await running;
      if (saved.length > 0) print(`\nsaved: ${saved.join(', ')}`);
    }
  } finally {
    signal.removeEventListener('abort', end);
    await watcher.close();
  }
  return ExitCode.done;
}

async function tell(running: Promise<unknown>, superseded: AbortSignal): Promise<void> {
  try {
    await running;
  } catch (error) {
    if (!superseded.aborted) printError(describeFailure(error).text);
  }
}

/** What belongs to no package (caches, environments) is not looked at; nor are files that a snapshot leaves out in any case. */
function watchProject(conf: string, onSave: (path: string) => void): FSWatcher {
  const packagesDir = join(dirname(conf), 'algopkg');
  const isIgnored = compileIgnore('');
  const watcher = watch([conf, packagesDir], {
    ignoreInitial: true,
    atomic: true,
    ignored: (path, stats) => {
      if (!path.startsWith(packagesDir + sep)) return false;
      return isIgnored(relative(packagesDir, path).split(sep).join('/'), stats?.isDirectory() ?? false);
    },
  });
  watcher.on('all', (_event, path) => onSave(path));
  watcher.on('error', (error) => printError(`cannot watch: ${describeFailure(error).text}`));
  return watcher;
}

/** Saves since the last apply, told together once none has come for a moment. */
class Saves {
  readonly #paths = new Set<string>();
  #timer: NodeJS.Timeout | null = null;
  #hear: (() => void) | null = null;
  #hasEnded = false;

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  get isWaiting(): boolean {
    return this.#paths.size > 0;
  }

  add(path: string): void {
    this.#paths.add(path);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#hear?.();
    }, QUIET_MS);
  }

  end(): void {
    this.#hasEnded = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#hear?.();
  }

  /** @returns what was saved; none when the watch ends */
  async next(): Promise<readonly string[]> {
    while (!this.#hasEnded && (this.#paths.size === 0 || this.#timer !== null)) {
      await new Promise<void>((resolve) => {
        this.#hear = resolve;
      });
    }
    const saved = [...this.#paths].sort();
    this.#paths.clear();
    return this.#hasEnded ? [] : saved;
  }
}
