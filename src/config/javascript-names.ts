import { type ClassSearch, namesOf } from './class-search.ts';

const NAME = '[\\p{L}_$][\\p{L}\\p{M}\\p{N}_$]*';
// A slash begins a regular expression only where no value stands before it.
const STRINGS_AND_COMMENTS =
  /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\[\s\S]|[^"\\\n])*"|'(?:\\[\s\S]|[^'\\\n])*'|`(?:\\[\s\S]|[^`\\])*`|(?<=(?:^|[(,=:[!&|?{};]|return)\s*)\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\//gm;

/**
 * Looks for a class among what a JavaScript or TypeScript module exports, as ES module or as CommonJS. The text is
 * scanned, not run. A default export without a name has any name. `export *` and a default export that a call makes
 * leave it open, and so does a class that only the raw
 * text shows, since a scan without a parser may take code for a string.
 */
export function searchJavascriptClass(source: string, name: string): ClassSearch {
  const code = source
    .replace(/\r\n?/g, '\n')
    .replace(STRINGS_AND_COMMENTS, (text) => (/^\/[*/]/.test(text) ? ' ' : '""'));
  const exported = exportedNames(code);
  const classes = [...exported];
  const isAnonymous = /(?:\bexport\s+default|\bmodule\.exports\s*=)\s+class\s*(?:extends\b|\{)/.test(code);
  if (isAnonymous || exported.has(name)) return { verdict: 'defined', classes, hint: '' };
  const isDeclared = declaredClasses(code).includes(name);
  const isOpen =
    /\bexport\s*\*/.test(code) ||
    /(?:\bexport\s+default\s|\bmodule\.exports\s*=)\s*[\w.]+\(/.test(code) ||
    (!isDeclared && declaredClasses(source).includes(name));
  const hint = isDeclared ? `it is there without "export": write "export class ${name}"` : '';
  return { verdict: isOpen ? 'uncertain' : 'missing', classes, hint };
}

function declaredClasses(code: string): readonly string[] {
  return namesOf(code, `\\bclass\\s+(${NAME})`);
}

function exportedNames(code: string): ReadonlySet<string> {
  const lists = [
    ...namesOf(code, '\\bexport\\s*\\{([^}]*)\\}'),
    ...namesOf(code, '\\bmodule\\.exports\\s*=\\s*\\{([^}]*)\\}'),
  ];
  return new Set([
    ...namesOf(code, `\\bexport\\s+(?:default\\s+)?(?:abstract\\s+)?class\\s+(${NAME})`),
    ...namesOf(code, `\\bexport\\s+(?:const|let|var|function)\\s+(${NAME})`),
    ...namesOf(code, `\\bexport\\s+default\\s+(${NAME})\\s*(?:;|$)`),
    ...namesOf(code, `\\bexports\\.(${NAME})\\s*=(?!=)`),
    ...namesOf(code, `\\bmodule\\.exports\\s*=\\s*(?:class\\s+)?(${NAME})\\s*(?:;|$|extends\\b|\\{)`),
    ...lists.flatMap((list) => list.split(',')).map(listedName),
  ]);
}

/** `a`, `a as b` (b), `a as default` (a), and in an object literal `b: a` (b). */
function listedName(item: string): string {
  const [name, alias] = item.trim().split(/\s+as\s+|\s*:\s*/);
  return (alias === undefined || alias === 'default' || item.includes(':') ? name : alias) ?? '';
}
