import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { clusterKeys, keyIdOf, newToken } from '../../src/config/token.ts';
import {
  openSealedToken,
  readRing,
  ringFor,
  ringWith,
  sealToken,
  type TokenRing,
  tokensOf,
  writeRing,
} from '../../src/config/token-ring.ts';
import { tempDir } from '../support/temp-dir.ts';

const ring = (over: Partial<TokenRing> = {}): TokenRing => ({ shown: 'b', other: null, past: [], ...over });

test('a token that replaces another is of the same cluster, and nothing else of it is the same', () => {
  const first = clusterKeys(newToken());
  const second = clusterKeys(newToken(first.clusterId));
  expect(second.clusterId).toBe(first.clusterId);
  const others = Object.entries(second).filter(([name]) => name !== 'clusterId');
  for (const [name, value] of others) expect(value, name).not.toBe(Reflect.get(first, name));
  expect(clusterKeys('mst_given.by hand').clusterId).not.toBe('by hand');
});

test.each<[string, TokenRing | null, TokenRing, boolean]>([
  ['b', null, ring(), false],
  ['b', ring({ past: ['x'] }), ring({ past: ['x'] }), false],
  ['b', ring({ shown: 'a', other: 'b' }), ring({ shown: 'a', other: 'b' }), false],
  ['a', ring({ past: [keyIdOf('a')] }), ring({ past: [keyIdOf('a')] }), true],
  ['c', ring({ past: [keyIdOf('a')] }), ring({ shown: 'c' }), false],
])('a node that is given %s and knows %j uses %j', (given, known, expected, isOld) => {
  expect(ringFor(given, known)).toEqual({ ring: expected, isOld });
});

test('what is left out of a ring is past, and what comes back is not', () => {
  const both = ringWith(ring({ shown: 'a' }), { shown: 'a', other: 'b' });
  expect(tokensOf(both)).toEqual(['a', 'b']);
  const next = ringWith(ringWith(both, { shown: 'b', other: 'a' }), { shown: 'b', other: null });
  expect(next).toEqual({ shown: 'b', other: null, past: [keyIdOf('a')] });
  expect(ringWith(next, { shown: 'a', other: null }).past).toEqual([keyIdOf('b')]);
});

test('is kept in a file for its owner; one that cannot be read is none', async () => {
  const file = join(tempDir(), 'state', 'token-ring.json');
  expect(await readRing(file)).toBeNull();
  await writeRing(file, ring({ past: ['x'] }));
  expect(await readRing(file)).toEqual(ring({ past: ['x'] }));
  expect(statSync(file).mode & 0o777).toBe(0o600);
  for (const text of ['', '{', '{}', '{"shown":1,"past":[]}']) {
    writeFileSync(file, text);
    expect(await readRing(file), text).toBeNull();
  }
});

test('a sealed token opens with the one that it was sealed by, and unchanged', () => {
  const sealed = sealToken('mst_new', 'mst_old');
  expect(sealed).not.toContain('mst_');
  expect(sealToken('mst_new', 'mst_old')).not.toBe(sealed);
  expect(openSealedToken(sealed, 'mst_old')).toBe('mst_new');
  const turned = sealed.slice(0, -2) + (sealed.endsWith('AA') ? 'BB' : 'AA');
  for (const [text, by] of [
    [sealed, 'mst_other'],
    [turned, 'mst_old'],
    ['', 'mst_old'],
    [sealed.replace('v1', 'v2'), 'mst_old'],
  ] as const)
    expect(() => openSealedToken(text, by)).toThrow(/cannot be opened/);
});
