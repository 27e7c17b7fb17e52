import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeJson } from '../../../src/runner/javascript/encode-json.ts';

const shared = { a: 1 };
const cyclic: Record<string, unknown> = { name: 'a' };
cyclic['self'] = [cyclic];

describe('encodeJson', () => {
  it('writes what JSON can carry exactly as JSON.stringify does', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(encodeJson(value)).toBe(JSON.stringify(value));
      }),
    );
  });

  it.each<[string, unknown, string]>([
    ['nothing', undefined, 'null'],
    ['a date', { at: new Date(0) }, '{"at":"1970-01-01T00:00:00.000Z"}'],
    ['a typed array', { scores: new Float32Array([0.5, 2]) }, '{"scores":[0.5,2]}'],
    ['a buffer', [Buffer.from([1, 2])], '[[1,2]]'],
    [
      'a map',
      new Map<unknown, unknown>([
        ['a', new Date(0)],
        [2, 1],
      ]),
      '{"2":1,"a":"1970-01-01T00:00:00.000Z"}',
    ],
    ['a set', new Set([1, 'b']), '[1,"b"]'],
    ['an error', { info: new TypeError('no') }, '{"info":"TypeError: no"}'],
    ['an undefined property', { a: undefined, b: 1 }, '{"b":1}'],
    ['an object with toJSON', { url: new URL('http://a/b') }, '{"url":"http://a/b"}'],
    ['the same object twice', [shared, shared], '[{"a":1},{"a":1}]'],
    [
      'a class instance',
      new (class {
        label = 'cat';
      })(),
      '{"label":"cat"}',
    ],
  ])('converts %s', (_what, value, text) => {
    expect(encodeJson(value)).toBe(text);
  });

  it.each<[string, unknown]>([
    ['result is NaN', Number.NaN],
    ['result.scores[3] is NaN', { scores: [1, 2, 3, Number.NaN] }],
    ['result.scores[1] is Infinity', { scores: new Float64Array([1, Number.POSITIVE_INFINITY]) }],
    ['result.a["b c"][0].d[0] is undefined', { a: { 'b c': [{ d: [undefined] }] } }],
    ['result[0] is a function', [() => 1]],
    ['result.run is a function', { run: () => 1 }],
    ['result.big is a bigint', { big: 1n }],
    ['result.symbol is a symbol', { symbol: Symbol('x') }],
    ['result.at is an invalid Date', { at: new Date(Number.NaN) }],
    ['result.self[0] is an object that contains itself', cyclic],
    ['result.map is a Map whose keys are not strings', { map: new Map([[{}, 1]]) }],
    ['result.values[1] is NaN', { values: new Set([1, Number.NaN]) }],
  ])('refuses: %s', (message, value) => {
    expect(() => encodeJson(value)).toThrow(message);
  });
});
