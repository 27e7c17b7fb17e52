import { join } from 'node:path';
import { hashOf } from '../../lib/hash.ts';
import type { Progress, SharedWork } from '../../lib/shared-work.ts';
import { buildOnce } from './build-once.ts';
import type { BuildTally } from './build-tally.ts';
import type { EnvironmentPlan, PackageInPlace } from './plan.ts';
import { noteUse } from './uses.ts';

const KEY_LENGTH = 32;

export interface BuildPlace {
  /** environments by content: StatePaths.environments */
  readonly environmentsDir: string;
  /** folders of builds that are under way in this process */
  readonly builds: SharedWork<string>;
  /** not given: nobody asks how many there were */
  readonly tally?: BuildTally;
}

/** An environment that can be used. */
export interface Obtained<Entry> {
  readonly entry: Entry;
  /** where it was built; null: it was there, and nobody here decides about its content */
  readonly folder: string | null;
}

/** The folder of an environment, by what decides about its content; null where nothing is built. */
function folderOf(plan: EnvironmentPlan<unknown>, environmentsDir: string): string | null {
  if (plan.build === null) return null;
  return join(environmentsDir, `${plan.kind}-${hashOf(plan.build.inputs).slice(0, KEY_LENGTH)}`);
}

/**
 * Makes a planned environment, unless one with the same content is there already, and notes its use.
 * @throws PreparationError, or the signal's reason
 */
export async function obtainEnvironment<Entry>(
  plan: EnvironmentPlan<Entry>,
  user: PackageInPlace,
  place: BuildPlace,
  progress: Progress,
): Promise<Obtained<Entry>> {
  const { build, description } = plan;
  const folder = folderOf(plan, place.environmentsDir);
  if (build === null || folder === null) return { entry: await plan.enter(''), folder: null };
  const dir = await place.builds.join(
    folder,
    ({ onProgress, signal }) =>
      buildOnce({
        ...{ folder, description, onProgress, signal },
        build: async (target, say) => {
          const fill = () => build.fill(target, say, signal);
          await (place.tally?.count(signal, fill) ?? fill());
        },
      }),
    progress,
  );
  progress.signal.throwIfAborted();
  if (dir === null) throw new Error('environments are not built any more: the node is being stopped');
  await noteUse(folder, user.packageName, user.packageHash);
  return { entry: await plan.enter(dir), folder };
}
