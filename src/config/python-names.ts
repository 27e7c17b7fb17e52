import { type ClassSearch, namesOf } from './class-search.ts';

const NAME = '[\\p{L}_][\\p{L}\\p{M}\\p{N}_]*';
// No text fits two branches: a string that nobody closes is read once, and not in every way that it could be.
const STRINGS_AND_COMMENTS =
  /("""|''')(?:\\[\s\S]|(?!\1)[^\\])*(\1)?|"(?:\\[\s\S]|[^"\\\n])*"|'(?:\\[\s\S]|[^'\\\n])*'|#[^\n]*/g;

/**
 * Looks for a class among what a Python module defines at its top level. The text is scanned, not run.
 * A name that is imported or assigned there counts as defined; a star import, a module-level `__getattr__` and
 * definitions in inner blocks (`try`, `if`) leave it open.
 */
export function searchPythonClass(source: string, name: string): ClassSearch {
  const code = source
    .replace(/\r\n?/g, '\n')
    .replace(STRINGS_AND_COMMENTS, withoutText)
    .replace(/\\\n/g, ' ');
  const classes = namesOf(code, `^class[ \\t]+(${NAME})`);
  if (classes.includes(name) || topLevelNames(code).has(name)) {
    return { verdict: 'defined', classes, hint: '' };
  }
  const open =
    namesOf(code, `^[ \\t]+class[ \\t]+(${NAME})`).includes(name) ||
    namesOf(code, `^[ \\t]+(${NAME})[ \\t]*=(?!=)`).includes(name) ||
    importedNames(code, '^[ \\t]+').includes(name) ||
    /^[ \t]*from[ \t].*[ \t]import[ \t]*\*/m.test(code) ||
    /^def[ \t]+__getattr__\b/m.test(code);
  return { verdict: open ? 'uncertain' : 'missing', classes, hint: '' };
}

/** Of a string without an end all but the quotes stays: loading the file says what is wrong with it. */
function withoutText(text: string, opening: string | undefined, closing: string | undefined): string {
  if (text.startsWith('#')) return '';
  return opening !== undefined && closing === undefined ? text.slice(opening.length) : '""';
}

function topLevelNames(code: string): ReadonlySet<string> {
  return new Set([...namesOf(code, `^(${NAME})[ \\t]*(?::[^=\\n]+)?=(?!=)`), ...importedNames(code, '^')]);
}

/** What `import …` and `from … import …` bind; `a as b` binds b, `import a.b` binds a. */
function importedNames(code: string, start: string): readonly string[] {
  const statement = new RegExp(
    `${start}(?:from[ \\t][^\\n]*?[ \\t])?import\\b[ \\t]*(?:\\(([^()]*)\\)|([^\\n]*))`,
    'gmu',
  );
  return [...code.matchAll(statement)]
    .flatMap((match) => (match[1] ?? match[2] ?? '').split(','))
    .map((item) => item.trim().split(/\s+/u).at(-1)?.split('.')[0] ?? '');
}
