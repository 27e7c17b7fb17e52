import { randomBytes } from 'node:crypto';
import { link, mkdir, rename, rm, stat, symlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pinnedBy } from '../../cluster/spec/model-pin.ts';
import type { ModelPin } from '../../cluster/spec/types.ts';
import { mapConcurrently } from '../../lib/concurrency.ts';
import { codeOf } from '../../lib/errors.ts';
import { hashOf } from '../../lib/hash.ts';

/** A model under the name that conf.ini gives it. */
export interface NamedModel {
  readonly name: string;
  readonly content: {
    /** a folder; a file where the only path is '' */
    readonly root: string;
    readonly files: readonly { readonly path: string }[];
  };
  /** other files take the places of its own now and then: links lead to places */
  readonly isMoving?: boolean;
}

const LINKS_AT_ONCE = 8;
const ATTEMPTS = 10;
/** Something else has that name. */
const TAKEN = ['ENOTEMPTY', 'EEXIST', 'ENOTDIR'];

/** The name of the view of these models: the same names and contents, the same view. */
export function viewKey(pins: readonly ModelPin[]): string {
  return hashOf(pins.map((pin) => [pin.name, pinnedBy(pin)])).slice(0, 32);
}

/**
 * Makes a folder that shows models under their names, as a model folder does: user code joins folder and name. Files are
 * hard links to the bytes kept on this node (what belongs beside each other lies beside each other, whatever resolves
 * links); symlinks where a hard link cannot be made. One that is right already is left as it is.
 * @param folder absolute
 */
export async function showModels(folder: string, models: readonly NamedModel[]): Promise<void> {
  const links = linksOf(models);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await showLinks(folder, links);
    } catch (error) {
      // Another replica's preparation has put the same there in between: it is looked at again.
      if (!TAKEN.includes(codeOf(error) ?? '') || attempt === ATTEMPTS) throw error;
    }
  }
}

async function showLinks(folder: string, links: readonly Link[]): Promise<void> {
  if (await isShownAlready(folder, links)) return;
  const draft = `${folder}.${randomBytes(6).toString('hex')}`;
  try {
    await mkdir(draft, { recursive: true });
    await mapConcurrently(links, LINKS_AT_ONCE, async ({ path, target, isMoving }) => {
      await mkdir(dirname(join(draft, path)), { recursive: true });
      await (isMoving ? symlink : linkTo)(target, join(draft, path));
    });
    await mkdir(dirname(folder), { recursive: true });
    if (await isPutInPlace(draft, folder)) return;
    // Nobody's folder is taken away that is right: a replica may be about to open what it shows.
    if (!(await isShownAlready(folder, links))) await replaceFolder(draft, folder);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** Whether the folder shows just that; then it counts as used now. */
async function isShownAlready(folder: string, links: readonly Link[]): Promise<boolean> {
  const isRight = await mapConcurrently(links, LINKS_AT_ONCE, ({ path, target }) =>
    isSameFile(join(folder, path), target),
  );
  if (!isRight.every(Boolean)) return false;
  const now = new Date();
  try {
    await utimes(folder, now, now);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

interface Link {
  readonly path: string;
  readonly target: string;
  readonly isMoving: boolean;
}

/** A file that two models name (a folder, and a file in it) is one file of one revision. */
function linksOf(models: readonly NamedModel[]): readonly Link[] {
  const links = new Map<string, Omit<Link, 'path'>>();
  for (const { name, content, isMoving = false } of models) {
    for (const file of content.files) {
      links.set(join(name, file.path), { target: join(content.root, file.path), isMoving });
    }
  }
  return [...links].map(([path, link]) => ({ path, ...link }));
}

async function linkTo(target: string, path: string): Promise<void> {
  try {
    await link(target, path);
  } catch (error) {
    if (!['EXDEV', 'EPERM', 'EMLINK', 'EACCES'].includes(codeOf(error) ?? '')) throw error;
    await symlink(target, path);
  }
}

/** Whether there was nothing in its place. */
async function isPutInPlace(draft: string, folder: string): Promise<boolean> {
  try {
    await rename(draft, folder);
    return true;
  } catch (error) {
    if (TAKEN.includes(codeOf(error) ?? '')) return false;
    throw error;
  }
}

/** A process that has the old folder open keeps what it has. */
async function replaceFolder(draft: string, folder: string): Promise<void> {
  const old = `${draft}.old`;
  await rename(folder, old).catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') throw error;
  });
  await rename(draft, folder);
  await rm(old, { recursive: true, force: true });
}

async function isSameFile(path: string, target: string): Promise<boolean> {
  const [here, there] = await Promise.all([path, target].map((one) => stat(one).catch(() => null)));
  return here !== null && there !== null && here?.ino === there?.ino && here?.dev === there?.dev;
}
