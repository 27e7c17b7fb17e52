/**
 * Which files of a package stay out of its snapshot, in the part of gitignore's language that people use: comments,
 * `!`, `/` at the end for folders only, `/` before the end to bind a pattern to the package's folder, `*`, `?`, `[a-z]`,
 * `[!a-z]`, `**` as a whole segment, `\` before a character that is meant as it is. The last pattern that matches
 * decides. As with git, nothing below an ignored folder can be brought back. Named classes (`[[:digit:]]`) are refused.
 */
export type IsIgnored = (path: string, isFolder: boolean) => boolean;

/** What no package needs in its snapshot: caches, version control, and environments, which are built from scratch. */
const BUILT_IN_PATTERNS = ['__pycache__', '*.pyc', '.git', 'node_modules', '.venv', '.modelserve'];

interface Rule {
  readonly ignores: boolean;
  readonly foldersOnly: boolean;
  readonly matches: RegExp;
}

/**
 * Compiles an ignore file, on top of the built-in patterns.
 * @throws SyntaxError naming the line of a pattern that cannot be read
 */
export function compileIgnore(text: string): IsIgnored {
  const builtIn = BUILT_IN_PATTERNS.map((pattern) => compileRule(pattern));
  const own = text.split(/\r?\n/).flatMap((line, index) => {
    const pattern = withoutTrailingSpaces(line);
    if (pattern === '' || pattern.startsWith('#')) return [];
    try {
      return [compileRule(pattern)];
    } catch {
      throw new SyntaxError(`line ${index + 1}: ${JSON.stringify(line)} is no pattern that can be read`);
    }
  });
  const rules = [...builtIn, ...own];
  return (path, isFolder) =>
    rules.findLast((rule) => (isFolder || !rule.foldersOnly) && rule.matches.test(path))?.ignores ?? false;
}

function compileRule(line: string): Rule {
  const ignores = !line.startsWith('!');
  const positive = ignores ? line : line.slice(1);
  const foldersOnly = positive.endsWith('/');
  const pattern = foldersOnly ? positive.slice(0, -1) : positive;
  const anchored = pattern.includes('/');
  const body = segmentsToRegExp(pattern.replace(/^\//, '').split('/'));
  return { ignores, foldersOnly, matches: new RegExp(`^${anchored ? '' : '(?:.*/)?'}${body}$`, 'su') };
}

function segmentsToRegExp(segments: readonly string[]): string {
  return segments
    .map((segment, index) => {
      const isLast = index === segments.length - 1;
      if (segment === '**') return isLast ? '.+' : '(?:[^/]+/)*';
      return globToRegExp(segment) + (isLast ? '' : '/');
    })
    .join('');
}

/** One token of a glob at a time: an escaped character, a class, a run of stars, `?`, or any other character. */
const TOKENS =
  /\\(?<escaped>.)|\[(?<negated>[!^])?(?<members>\]?(?:\\.|[^\]\\])*)\]|(?<star>\*+)|(?<any>\?)|(?<plain>.)/gsu;

function globToRegExp(glob: string): string {
  return glob.replace(TOKENS, (token, ...rest) => {
    const groups = rest.at(-1) as Readonly<Record<string, string | undefined>>;
    if (groups['star'] !== undefined) return '[^/]*';
    if (groups['any'] !== undefined) return '[^/]';
    if (groups['members'] !== undefined)
      return classToRegExp(groups['members'], groups['negated'] !== undefined);
    if (token === '[' || token === '\\') throw new SyntaxError(`${token} without its end`);
    return quote(groups['escaped'] ?? token);
  });
}

function classToRegExp(members: string, negated: boolean): string {
  if (/^:|\[[:.=]/.test(members)) throw new SyntaxError('named classes are not supported');
  const quoted = members.replace(/\\(.)|[\]\\[^]/gsu, (token, escaped?: string) =>
    quoteMember(escaped ?? token),
  );
  return negated ? `[^/${quoted}]` : `(?!/)[${quoted}]`;
}

function quote(character: string): string {
  return character.replace(/[\\^$.*+?()[\]{}|/]/u, '\\$&');
}

function quoteMember(character: string): string {
  return /[\\\]^[-]/u.test(character) ? `\\${character}` : character;
}

function withoutTrailingSpaces(line: string): string {
  return line.replace(/(?<!\\) +$/, '');
}
