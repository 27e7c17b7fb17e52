import { describe, expect, it } from 'vitest';
import { searchJavascriptClass } from '../../src/config/javascript-names.ts';
import { searchPythonClass } from '../../src/config/python-names.ts';

type Verdict = 'defined' | 'uncertain' | 'missing';

describe('searchPythonClass', () => {
  const table: readonly [source: string, verdict: Verdict][] = [
    ['class Echo:\n  pass', 'defined'],
    ['class Echo(object):\r\n  pass', 'defined'],
    ['@register\nclass  Echo (Base):\n  pass', 'defined'],
    ['from .impl import Echo', 'defined'],
    ['from impl import (\n    Other,\n    Impl as Echo,  # renamed\n)', 'defined'],
    ['from impl import Other, \\\n  Echo', 'defined'],
    ['import impl.echo as Echo', 'defined'],
    ['Echo = make_backend()', 'defined'],
    ['Echo: type = make_backend()', 'defined'],
    ['from .impl import *', 'uncertain'],
    ['try:\n  from fast import Echo\nexcept ImportError:\n  pass', 'uncertain'],
    ['if True:\n    class Echo: pass', 'uncertain'],
    ['if True:\n    Echo = 1', 'uncertain'],
    ['def __getattr__(name): return 1', 'uncertain'],
    ['', 'missing'],
    ['class Echoes: pass', 'missing'],
    ['class MyEcho: pass', 'missing'],
    ['# class Echo:', 'missing'],
    ['"""\nclass Echo:\n"""\nclass Other: pass', 'missing'],
    ["text = '''\nclass Echo:\n'''", 'missing'],
    ['text = "\\"\\nclass Echo"', 'missing'],
    ['Echo == 1', 'missing'],
    ['import Echo.impl as other', 'missing'],
    ['if __name__ == "__main__":\n    Echo("")', 'missing'],
    ['class Echo:\n  """nobody closes this\n', 'defined'],
    ['"""nobody closes this\nclass Echo:\n  pass', 'defined'],
    ['from . import (\n  Other,\nfrom .impl import Echo', 'defined'],
  ];
  it.each(table)('%j: %s', (source, verdict) => {
    expect(searchPythonClass(source, 'Echo').verdict).toBe(verdict);
  });

  // Each once took 2^n or n³ steps: read so, it keeps a thread busy for longer than a test may take.
  it.each([
    ['a string that nobody closes', `"""${'\\a'.repeat(32)}`],
    ['one whose ends are all escaped', "'''\\'\n".repeat(3_000)],
    ['from and blanks', `from ${' '.repeat(4_000)}`],
    ['a list that nobody closes', 'from x import (\n'.repeat(20_000)],
    ['dots', `import ${'.'.repeat(4_000)} x y`],
  ])('reads %s once', (_what, source) => {
    expect(searchPythonClass(source, 'Echo').verdict).toBe('missing');
  });

  it('names the classes that are there', () => {
    const source = 'class One: pass\nclass Two(One):\n  class Inner: pass\n';
    expect(searchPythonClass(source, 'Echo').classes).toEqual(['One', 'Two']);
  });

  it('finds a class with a name in any alphabet', () => {
    expect(searchPythonClass('class 算法(object): pass', '算法').verdict).toBe('defined');
  });
});

describe('searchJavascriptClass', () => {
  const table: readonly [source: string, verdict: Verdict][] = [
    ['export class Echo {}', 'defined'],
    ['export default class Echo extends Base {}', 'defined'],
    ['export abstract class Echo {}', 'defined'],
    ['class Echo {}\nexport { Other, Echo }', 'defined'],
    ['class Impl {}\nexport { Impl as Echo };', 'defined'],
    ['class Echo {}\nexport { Echo as default };', 'defined'],
    ["export { Echo } from './impl.ts';", 'defined'],
    ['class Echo {}\nexport default Echo;', 'defined'],
    ['export const Echo = class {};', 'defined'],
    ['exports.Echo = class {};', 'defined'],
    ['module.exports.Echo = Impl', 'defined'],
    ['class Echo {}\nmodule.exports = { Echo, other: 1 };', 'defined'],
    ['module.exports = { Echo: Impl };', 'defined'],
    ['module.exports = class Echo {};', 'defined'],
    ['class Echo {}\nmodule.exports = Echo', 'defined'],
    ['const quote = /["\'`/*]/;\nexport class Echo {} // `', 'defined'],
    ['export default class {}', 'defined'],
    ['export default class extends Base {}', 'defined'],
    ['module.exports = class {};', 'defined'],
    ['export default make(Base);', 'uncertain'],
    ['class Echo {}\nexport default make(Echo);', 'uncertain'],
    ["export * from './impl.ts';", 'uncertain'],
    ["module.exports = require('./impl');", 'uncertain'],
    ['const text = `class Echo`', 'uncertain'],
    ['', 'missing'],
    ['class Echo {}', 'missing'],
    ['class Echo {}\nexport { Echo as Other };', 'missing'],
    ['export class Echoes {}', 'missing'],
    ['export default class Other {}', 'missing'],
    ['// export const Echo = 1', 'missing'],
    ['/* export { Echo } */', 'missing'],
    ['const text = "export { Echo }"', 'missing'],
  ];
  it.each(table)('%j: %s', (source, verdict) => {
    expect(searchJavascriptClass(source, 'Echo').verdict).toBe(verdict);
  });
});
