import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, relative, resolve, sep } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { ApplySource, UploadOffer } from '../admin/types.ts';
import type { CompiledConf } from '../config/compile.ts';
import { defaultStateDir } from '../config/environment.ts';
import { isModelUri } from '../config/model-uri.ts';
import { statePaths } from '../config/paths.ts';
import { configFilesIn } from '../config/user-config.ts';
import { mapConcurrently } from '../lib/concurrency.ts';
import type { ContentFile } from '../lib/content/manifest.ts';
import { codeOf, ServeError } from '../lib/errors.ts';
import { digestFile } from '../lib/file-digests.ts';
import { readModels } from '../models/pins.ts';
import { IGNORE_FILE, readPackage } from '../packages/package-content.ts';
import type { AdminClient } from './admin-client.ts';
import { seesSameDisk } from './same-disk.ts';

/** Tells a person how far it is; the same line again and again on a terminal. */
type Tell = (line: string) => void;

/** A file of the project: as the head will have it, and where it lies here. */
interface ProjectFile extends ContentFile {
  readonly source: string;
}

const FILES_AT_ONCE = 4;
const ATTEMPTS = 5;
const RETRY_MS = 500;
const MIB = 1024 ** 2;
/** What a later try may mend: connections break, a head is started again. */
const PASSING = ['CLUSTER_UNREACHABLE', 'UPLOAD_OFFSET', 'UPLOAD_UNKNOWN', 'UPLOAD_DAMAGED'];

/**
 * How the head gets a project: by its path where it sees the same disk, else by what it lacks of it, file by file and by
 * hash. An upload that broke goes on where it was.
 * @throws ServeError when a file cannot be taken, or the head not be reached
 */
export async function sourceFor(client: AdminClient, conf: CompiledConf, tell: Tell): Promise<ApplySource> {
  const { confPath } = conf;
  if (await seesSameDisk(client, confPath)) return { confPath, upload: null };
  const files = await projectFiles(conf);
  return { confPath: `${hostname()}:${confPath}`, upload: await sendAll(client, files, tell) };
}

async function projectFiles(conf: CompiledConf): Promise<readonly ProjectFile[]> {
  const { projectDir, packagesDir, modelRoot, deployments } = conf;
  const digestsDir = statePaths(defaultStateDir('head')).digests; // of this user's own machine, shared with `check`
  const packageNames = [...new Set(deployments.map((spec) => spec.packageName))];
  const packages = await mapConcurrently(packageNames, 1, async (packageName) => {
    const { files } = await readPackage({ packagesDir, packageName, digestsDir });
    const ignoreFile = await fileAt(join(packagesDir, packageName, IGNORE_FILE), projectDir);
    return ignoreFile === null ? files : [...files, ignoreFile];
  });
  const models = [...new Set(deployments.flatMap((spec) => spec.models))].filter((name) => !isModelUri(name)); // the head fetches those
  const read = await readModels({ modelRoot, models, digestsDir });
  const modelFiles = read.flatMap(({ pin, content }) =>
    content.files.map((file) => ({
      ...file,
      path: ['Model_ZOO', pin.name, file.path].filter((part) => part !== '').join('/'),
      source: join(content.root, file.path),
    })),
  );
  const others = configFilesIn(conf.confText).map((name) => resolve(projectDir, name));
  const beside = await Promise.all(others.map((path) => fileAt(path, projectDir)));
  const confFile = await fileAt(conf.confPath, projectDir);
  const own = confFile === null ? [] : [{ ...confFile, path: 'conf.ini' }];
  const all = [...own, ...beside.filter((file) => file !== null), ...packages.flat(), ...modelFiles];
  const byPath = new Map(all.map((file) => [file.path, file]));
  return [...byPath.values()].sort((left, right) => (left.path < right.path ? -1 : 1));
}

/** @returns null when it is not there */
async function fileAt(source: string, projectDir: string): Promise<ProjectFile | null> {
  const path = relative(projectDir, source).split(sep).join('/');
  if (path.startsWith('..')) {
    throw new ServeError(
      `${source} lies outside of ${projectDir}: put it into the project, or apply on the head`,
      {
        code: 'BAD_USAGE',
      },
    );
  }
  const status = await stat(source).catch(() => null);
  if (status === null) return null;
  return { path, source, executable: false, ...(await digestFile(source)) };
}

/** Sends what is missing; after a failure that passes, what is still missing then. @returns the upload's name */
async function sendAll(client: AdminClient, files: readonly ProjectFile[], tell: Tell): Promise<string> {
  const manifest = files.map(({ path, sizeBytes, sha256, executable }) => ({
    path,
    sizeBytes,
    sha256,
    executable,
  }));
  for (let attempt = 1; ; attempt += 1) {
    const offer = await client.offer(manifest);
    if (offer.missing.length === 0) return offer.upload;
    try {
      await sendMissing(client, { offer, files }, tell);
    } catch (error) {
      if (attempt === ATTEMPTS || !PASSING.includes(codeOf(error) ?? '')) throw error;
      await delay(RETRY_MS * attempt);
    }
  }
}

async function sendMissing(
  client: AdminClient,
  { offer, files }: { readonly offer: UploadOffer; readonly files: readonly ProjectFile[] },
  tell: Tell,
): Promise<void> {
  const sources = new Map(files.map((file) => [file.sha256, file]));
  const totalBytes = offer.missing.reduce((sum, file) => sum + file.sizeBytes - file.heldBytes, 0);
  const what = offer.missing.length === 1 ? '1 file' : `${offer.missing.length} files`;
  let sentBytes = 0;
  const count = (bytes: number): void => {
    sentBytes += bytes;
    tell(`sending ${what} that the head does not have: ${mib(sentBytes)} of ${mib(totalBytes)}`);
  };
  count(0);
  await mapConcurrently(offer.missing, FILES_AT_ONCE, async ({ sha256, heldBytes }) => {
    const source = sources.get(sha256)?.source ?? '';
    const bytes = counted(createReadStream(source, { start: heldBytes, highWaterMark: MIB }), count);
    await client.send(offer.upload, { sha256, offset: heldBytes }, Readable.from(bytes));
  });
}

async function* counted(
  source: AsyncIterable<Buffer>,
  count: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    yield chunk;
    count(chunk.length);
  }
}

function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}
