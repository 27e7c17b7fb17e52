import { dirname, join, normalize } from 'node:path';
import { readIfThere } from '../../lib/files.ts';

/** What a requirements file asks for, as far as it decides about an environment. */
export interface Requirements {
  /** contents of the file and of those it includes by -r and -c, by their path in the package */
  readonly files: Readonly<Record<string, string>>;
  /** it installs something out of the package's own folder, whose content then counts, too */
  readonly usesPackage: boolean;
}

const INCLUDE = /^\s*(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)/gm;
const LOCAL = /^\s*(?:-e|--editable|-f|--find-links|\.|\/)|file:|@ *\./m;

/**
 * Reads a requirements file with what it includes. A file outside of the package, or one that is not there, counts by
 * its name: pip says what is wrong with it.
 */
export async function readRequirements(packageDir: string, file: string): Promise<Requirements> {
  const files: Record<string, string> = {};
  const waiting = [normalize(file)];
  for (const name of waiting) {
    if (Object.hasOwn(files, name)) continue;
    const text = isInside(name) ? ((await readIfThere(join(packageDir, name))) ?? '') : '';
    files[name] = text;
    waiting.push(...includedBy(name, text));
  }
  return { files, usesPackage: Object.values(files).some((text) => LOCAL.test(text)) };
}

function isInside(name: string): boolean {
  return !name.startsWith('..') && !name.startsWith('/') && !name.includes('://');
}

function includedBy(name: string, text: string): readonly string[] {
  return [...text.matchAll(INCLUDE)].map(([, included = '']) =>
    included.includes('://') ? included : normalize(join(dirname(name), included)),
  );
}
