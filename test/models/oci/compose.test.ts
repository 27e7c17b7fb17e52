import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { composeFiles, type LayerEntry } from '../../../src/models/oci/compose.ts';

const file = (path: string, content = path): LayerEntry => ({
  ...{ kind: 'file', path, sizeBytes: content.length },
  ...{ sha256: content, blob: '0' },
});
const folder = (path: string): LayerEntry => ({ kind: 'folder', path });
const whiteout = (path: string): LayerEntry => ({ kind: 'whiteout', path });
const opaque = (path: string): LayerEntry => ({ kind: 'opaque', path });
const symlink = (path: string, target: string): LayerEntry => ({ kind: 'symlink', path, target });
const link = (path: string, target: string): LayerEntry => ({ kind: 'link', path, target });

const compose = (...layers: readonly (readonly LayerEntry[])[]) => {
  const files = composeFiles(layers, 'models', 100);
  return files === null ? null : Object.fromEntries(files.map(({ path, sha256 }) => [path, sha256]));
};

describe('composeFiles', () => {
  it('puts layers on top of each other', () => {
    const base = [folder('models'), file('models/a', '1'), file('models/d/x', '1'), file('models/d/y', '1')];
    expect(compose(base)).toEqual({ a: '1', 'd/x': '1', 'd/y': '1' });
    expect(compose(base, [file('models/a', '2')])).toEqual({ a: '2', 'd/x': '1', 'd/y': '1' });
    expect(compose(base, [whiteout('models/a'), whiteout('models/d/x')])).toEqual({ 'd/y': '1' });
    expect(compose(base, [opaque('models/d'), file('models/d/z', '2')])).toEqual({ a: '1', 'd/z': '2' });
    expect(compose(base, [whiteout('models/d'), file('models/d/z', '2')])).toEqual({ a: '1', 'd/z': '2' });
    expect(compose(base, [file('models/d', '2')])).toEqual({ a: '1', d: '2' });
    expect(compose(base, [file('models/a/b', '2')])).toEqual({ 'a/b': '2', 'd/x': '1', 'd/y': '1' });
    expect(compose(base, [opaque('')], [file('models/n', '3')])).toEqual({ n: '3' });
    expect(compose(base, [whiteout('models')])).toBeNull();
  });

  it('has marks hide only what lies below their layer, wherever they stand in it', () => {
    const base = [file('models/a', '1')];
    expect(compose(base, [file('models/a', '2'), whiteout('models/a')])).toEqual({ a: '2' });
    expect(compose(base, [file('models/b', '2'), opaque('models')])).toEqual({ b: '2' });
  });

  it('says that there is no such folder', () => {
    expect(compose([])).toBeNull();
    expect(compose([file('models', 'a file')])).toBeNull();
    expect(compose([symlink('models', 'opt')])).toBeNull();
    expect(compose([folder('models')])).toEqual({});
  });

  it('gives what links lead to', () => {
    const base = [file('models/v1/w', 'w'), symlink('models/now', 'v1'), symlink('models/v1/again', './w')];
    expect(compose(base)).toEqual({
      ...{ 'v1/w': 'w', 'v1/again': 'w', 'now/w': 'w', 'now/again': 'w' },
    });
    expect(compose([file('models/w', 'w'), symlink('models/l', '/models/../models/w')])).toEqual({
      ...{ w: 'w', l: 'w' },
    });
    expect(compose([file('models/w', 'w')], [link('models/l', 'models/w')])).toEqual({ w: 'w', l: 'w' });
    const replaced = [file('models/w', 'new')];
    expect(compose([file('models/w', 'w'), symlink('models/l', 'w')], replaced)).toEqual({
      ...{ w: 'new', l: 'new' },
    });
  });

  it.each<[string, readonly LayerEntry[], RegExp]>([
    ['an absolute link', [symlink('models/l', '/etc/passwd')], /models\/l leads out of models\/, to "\/etc/],
    ['a relative one', [symlink('models/d/l', '../../etc/passwd')], /leads out of models\//],
    ['one above the root', [symlink('models/l', '../../../x')], /leads out of models\//],
    ['one through another', [symlink('models/d', '../etc'), symlink('models/l', 'd/passwd')], /leads out/],
    ['one to nothing', [symlink('models/l', 'nothing')], /models\/l is a link that leads nowhere/],
    ['a circle', [symlink('models/a', 'b'), symlink('models/b', 'a')], /leads in a circle/],
    ['one to a folder above', [file('models/d/x'), symlink('models/d/l', '..')], /folder that it lies in/],
    ['a hard link to a file elsewhere', [link('models/l', 'etc/shadow')], /hard link to "etc\/shadow"/],
    ['one to a folder', [folder('models/d'), link('models/l', 'models/d')], /where no file is/],
  ])('refuses %s', (_name, entries, expected) => {
    expect(() => compose([file('models/w'), ...entries])).toThrow(expected);
  });

  it('does not list without end', () => {
    const doubling = Array.from({ length: 40 }, (_, level) => [
      symlink(`models/l${level}/a`, `../l${level + 1}`),
      symlink(`models/l${level}/b`, `../l${level + 1}`),
    ]).flat();
    expect(() => compose([...doubling, folder('models/l40')])).toThrow(/more than 100 files/);
  });

  it('gives what applying one change after the other gives', () => {
    const name = fc.constantFrom('a', 'b', 'c');
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => `models/${parts.join('/')}`);
    const entry = fc.oneof(
      path.map((one) => file(one)),
      path.map(whiteout),
      path.map(opaque),
      path.map(folder),
    );
    fc.assert(
      fc.property(fc.array(fc.array(entry, { maxLength: 6 }), { maxLength: 4 }), (layers) => {
        const marked = layers.map((entries) => entries.map((one) => ({ ...one })));
        expect(compose([folder('models')], ...marked)).toEqual(applied(marked));
      }),
    );
  });
});

/** The same in the plainest way: a list of paths from which is struck out what a change takes away. */
function applied(layers: readonly (readonly LayerEntry[])[]): Record<string, string> {
  let files = new Map<string, string>();
  const strike = (hit: (path: string) => boolean): void => {
    files = new Map([...files].filter(([path]) => !hit(path)));
  };
  const below = (path: string) => (one: string) => one.startsWith(`${path}/`);
  for (const entries of layers) {
    for (const { kind, path } of entries) {
      if (kind === 'whiteout') strike((one) => one === path || below(path)(one));
      if (kind === 'opaque') strike(below(path));
    }
    for (const entry of entries) {
      const { kind, path } = entry;
      if (kind !== 'file' && kind !== 'folder') continue;
      strike((one) => below(one)(path) || (kind === 'file' ? below(path)(one) : one === path));
      if (kind === 'file') files.set(path, entry.sha256);
    }
  }
  return Object.fromEntries(
    [...files].map(([path, content]) => [path.slice('models/'.length), content]).sort(),
  );
}
