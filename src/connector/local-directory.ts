import { lstat, mkdir, readdir, realpath, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { codeOf, messageOf, ServeError } from '../lib/errors.ts';
import { isWithin } from '../lib/tree.ts';

/**
 * @returns the path of a folder that may be emptied, without links; it need not be there
 * @throws ServeError CONNECTOR_DIRECTORY for what must not be emptied: `/`, a home folder or what it lies in, a mount point, a folder that
 * somebody works in, a path that is not absolute, no folder at all
 */
export async function requireDirectory(given: string): Promise<string> {
  if (!isAbsolute(given)) throw refused(given, 'expected an absolute path');
  const directory = await realpath(given).catch(() => resolve(given));
  const status = await lstat(directory).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return null;
    throw refused(given, messageOf(error), error);
  });
  if (status !== null && !status.isDirectory()) throw refused(given, 'it is no folder');
  for (const [kept, what] of [
    ['/', 'it is the root of the file system'],
    [homedir(), 'a home folder lies in it'],
    [process.cwd(), 'this process works in it'],
  ] as const) {
    if (isWithin(directory, kept)) throw refused(given, what);
  }
  if (status !== null && status.dev !== (await lstat(dirname(directory))).dev) {
    throw refused(given, 'something is mounted there');
  }
  return directory;
}

/** Empties a folder that `requireDirectory` gave, or makes it. @throws ServeError CONNECTOR_DIRECTORY */
export async function emptyDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true });
    for (const name of await readdir(directory)) await rm(join(directory, name), { recursive: true });
  } catch (cause) {
    throw refused(directory, messageOf(cause), cause);
  }
}

function refused(directory: string, what: string, cause?: unknown): ServeError {
  return new ServeError(
    `${directory} cannot be prepared, which would empty it: ${what}; name a folder that holds nothing but the model`,
    { code: 'CONNECTOR_DIRECTORY' },
    { cause },
  );
}
