import { ServeError } from '../errors.ts';
import { sha256 } from '../hash.ts';

/** A file of a content, as every node knows it. */
export interface ContentFile {
  /** relative, with `/` between segments; '' where the content is one file without a folder */
  readonly path: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly executable: boolean;
}

/** A content is an ordered list of files; its bytes are those of the files, one after the other. */
export type Manifest = readonly ContentFile[];

/** A manifest that no honest node sends: taken from nobody, unpacked nowhere. */
class ManifestError extends ServeError<{ readonly code: 'CONTENT_UNSAFE' }> {
  override readonly name = 'ManifestError';
}

const MAX_FILES = 100_000;
const MAX_PATH_BYTES = 4_096;

/** The name of a package's content: SHA-256 over the names, execute bits and contents of its files. */
export function packageHash(files: Manifest): string {
  const lines = files.map((file) => `${file.sha256} ${file.executable ? 'x' : '-'} ${file.path}\0`);
  return sha256(`modelserve package 1\0${lines.join('')}`);
}

/** The name of a model that is a folder: SHA-256 over the names and contents of its files. */
export function folderHash(files: readonly Pick<ContentFile, 'path' | 'sha256'>[]): string {
  const lines = files.map((file) => `${file.sha256} ${file.path}\0`);
  return sha256(`modelserve model folder 1\0${lines.join('')}`);
}

/** The name of a model: that of its one file, or of the folder. */
export function contentHash(files: readonly Pick<ContentFile, 'path' | 'sha256'>[]): string {
  const [first] = files;
  return files.length === 1 && first?.path === '' ? first.sha256 : folderHash(files);
}

/** Whether these files are what a hash names: a package, a model that is a folder, or a single file. */
export function isManifestOf(hash: string, files: Manifest): boolean {
  const [first] = files;
  if (files.length === 1 && first?.path === '') return first.sha256 === hash;
  return packageHash(files) === hash || folderHash(files) === hash;
}

export function totalBytesOf(files: Manifest): number {
  return files.reduce((sum, file) => sum + file.sizeBytes, 0);
}

/**
 * Sees that a list of files from another node can be written below a folder and nowhere else.
 * @throws ManifestError naming the entry: `..`, an absolute path, a name twice, a file where a folder has to be, odd numbers
 */
export function checkManifest(files: Manifest): void {
  if (files.length > MAX_FILES) throw unsafe(`${files.length} files, at most ${MAX_FILES} are taken`);
  const taken = new Set(files.map((file) => file.path));
  if (taken.size !== files.length) throw unsafe('a file is named twice');
  for (const file of files) {
    if (!Number.isSafeInteger(file.sizeBytes) || file.sizeBytes < 0) throw unsafe(`${file.path}: its size`);
    if (!isHash(file.sha256)) throw unsafe(`${file.path}: its hash`);
    if (file.path !== '' || files.length > 1) checkPath(file.path, taken);
  }
}

function checkPath(path: string, taken: ReadonlySet<string>): void {
  if (!isInnerPath(path)) throw unsafe(`${JSON.stringify(path)} leads out of its folder`);
  const folder = foldersAbove(path).find((above) => taken.has(above));
  if (folder !== undefined) throw unsafe(`${folder} is both a file and a folder`);
}

/** A SHA-256 in hex, and so a name that leads nowhere else. */
export function isHash(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

function isInnerPath(path: string): boolean {
  if (path.includes('\0') || path.includes('\\') || Buffer.byteLength(path) > MAX_PATH_BYTES) return false;
  return path.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..');
}

function foldersAbove(path: string): readonly string[] {
  const segments = path.split('/');
  return segments.slice(1).map((_, index) => segments.slice(0, index + 1).join('/'));
}

function unsafe(what: string): ManifestError {
  return new ManifestError(`a list of files that cannot be taken: ${what}`, { code: 'CONTENT_UNSAFE' });
}
