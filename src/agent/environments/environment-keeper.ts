import { rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../lib/errors.ts';
import { namesIn } from '../../lib/files.ts';
import type { Log } from '../../lib/log.ts';
import { Rounds } from '../../lib/rounds.ts';
import { listBuilt, removeBuilt } from './built-folders.ts';
import { PASSED_CHECKS } from './passed-checks.ts';
import { chooseUnused, keptHashes } from './unused.ts';
import { noteUse } from './uses.ts';

const EVERY_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** Without a use for this long it goes by itself; built again when it is needed. */
export const UNUSED_MS = 30 * DAY_MS;
/** Environments are large: of those that nothing needs now, no more than this are kept. */
const MOST_UNUSED = 20;

export interface KeeperOptions {
  readonly environmentsDir: string;
  readonly stageDir: string;
}

export interface KeeperDependencies {
  /** hashes of the packages that run here */
  readonly inUse: () => readonly string[];
  readonly log: Log;
}

/** Keeps what was built on this node from filling its disk: what nothing here uses goes after a month. */
export class EnvironmentKeeper {
  readonly #options: KeeperOptions;
  readonly #dependencies: KeeperDependencies;
  readonly #rounds = new Rounds(EVERY_MS, () => this.tidy());

  constructor(options: KeeperOptions, dependencies: KeeperDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  /** Tidies every hour from now on. */
  start(): void {
    this.#rounds.start();
  }

  /** Idempotent; waits for what is being removed. */
  async stop(): Promise<void> {
    await this.#rounds.stop();
  }

  /** Once, now. What fails is logged: the next round tries again. */
  async tidy(nowMs: number = Date.now()): Promise<void> {
    const { log } = this.#dependencies;
    const { environmentsDir, stageDir } = this.#options;
    try {
      const removed = [
        ...(await this.#prune(environmentsDir, nowMs)),
        ...(await this.#prune(stageDir, nowMs)),
      ];
      await removeOld(join(stageDir, PASSED_CHECKS), nowMs);
      await removeOld(join(stageDir, 'pycache'), nowMs);
      if (removed.length > 0) log.info({ removed }, 'unused environments removed');
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'unused environments cannot be removed');
    }
  }

  async #prune(parent: string, nowMs: number): Promise<readonly string[]> {
    const keep = keptHashes(this.#dependencies.inUse());
    const built = await listBuilt(parent);
    for (const { folder, uses } of built) {
      const used = uses.filter(({ hash }) => keep.has(hash));
      for (const { packageName, hash } of used) await noteUse(folder, packageName, hash);
    }
    const removed: string[] = [];
    const rules = { keep, olderThanMs: UNUSED_MS, most: MOST_UNUSED };
    for (const { key, folder } of chooseUnused(built, rules, nowMs)) {
      if (await removeBuilt(folder)) removed.push(key);
    }
    return removed;
  }
}

/** Removes files that were not touched for long, and folders that are empty then. */
async function removeOld(folder: string, nowMs: number): Promise<void> {
  for (const name of await namesIn(folder)) {
    const path = join(folder, name);
    const status = await stat(path).catch(() => null);
    if (status === null) continue;
    if (!status.isDirectory()) {
      if (nowMs - status.mtimeMs >= UNUSED_MS) await rm(path, { force: true });
      continue;
    }
    await removeOld(path, nowMs);
    if ((await namesIn(path)).length === 0) await rmdir(path).catch(() => undefined);
  }
}
