import { ServeError } from '../lib/errors.ts';

/** A package that cannot be taken as it is; the message names the file and what to do about it. */
export class PackageError extends ServeError<{
  readonly code: 'PACKAGE_NOT_FOUND' | 'PACKAGE_UNUSABLE' | 'PACKAGE_IGNORE_FILE' | 'PACKAGE_CHANGED';
  readonly packageName: string;
}> {
  override readonly name = 'PackageError';
}
