import { describe, expect, test } from 'vitest';
import { addressOf, createRedis } from '../../src/store/redis-client.ts';

function optionsOf(url: string, password?: string): object {
  const redis = createRedis({
    url,
    commandTimeoutMs: 1,
    ...(password === undefined ? {} : { password: () => password }),
  });
  redis.disconnect();
  return redis.options;
}

describe('the URL of a store', () => {
  test.each([
    ['redis://h', { host: 'h', port: 6379, db: 0 }],
    ['redis://h:7/3', { host: 'h', port: 7, db: 3 }],
    ['redis://[::1]:7', { host: '::1', port: 7 }],
    ['redis://u:p%40ss@h:7', { host: 'h', username: 'u', password: 'p@ss' }],
    ['rediss://h:7', { host: 'h', port: 7, tls: {} }],
    [
      'redis-sentinel://a:1,b,[::1]:3/mymaster/2',
      {
        sentinels: [
          { host: 'a', port: 1 },
          { host: 'b', port: 26_379 },
          { host: '::1', port: 3 },
        ],
        name: 'mymaster',
        db: 2,
      },
    ],
    ['redis-sentinel://:secret@a:1,b:2/m', { password: 'secret', name: 'm', db: 0 }],
  ])('%s is understood', (url, expected) => {
    expect(optionsOf(url)).toMatchObject(expected);
  });

  test('its password goes before the given one', () => {
    expect(optionsOf('redis://h', 'given')).toMatchObject({ password: 'given' });
    expect(optionsOf('redis://:own@h', 'given')).toMatchObject({ password: 'own' });
  });

  test.each([
    '',
    'h:6379',
    'http://h',
    'redis://',
    'redis://h/name',
    'redis-sentinel://a:1',
    'redis-sentinel:///m',
  ])('"%s" is refused with an example', (url) => {
    expect(() => optionsOf(url)).toThrowError(
      expect.objectContaining({ code: 'STORE_URL', message: expect.stringContaining('redis://host:6379') }),
    );
  });

  test('is shown without user and password', () => {
    expect(addressOf('redis://u:p@h:7/0')).toBe('redis://h:7/0');
    expect(addressOf('redis-sentinel://:p@a:1,b:2/m')).toBe('redis-sentinel://a:1,b:2/m');
    expect(() => optionsOf('http://u:secret@h')).not.toThrowError(/secret/);
  });
});
