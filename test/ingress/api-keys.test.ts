import { rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ApiKeys } from '../../src/ingress/api-keys.ts';
import { silentLog } from '../../src/lib/log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { call, routeOf, TestNode } from './test-node.ts';

const KEYS = '# the teams\nsearch = key-of-search\n\nops=key-of-ops\nno line of keys\n';

function asked(headers: Record<string, string>): IncomingMessage {
  return { headers } as unknown as IncomingMessage;
}

const search = asked({ authorization: 'Bearer key-of-search' });
const ops = asked({ 'x-api-key': 'key-of-ops' });

describe('API keys of a route', () => {
  it.each([
    ['no header', asked({}), 'API_KEY_REFUSED'],
    ['another key', asked({ authorization: 'Bearer key-of-nobody' }), 'API_KEY_REFUSED'],
    ['the name of a caller', asked({ 'x-api-key': 'search' }), 'API_KEY_REFUSED'],
    ['a part of a key', asked({ 'x-api-key': 'key-of' }), 'API_KEY_REFUSED'],
    ['words of a line that is none', asked({ 'x-api-key': 'keys' }), 'API_KEY_REFUSED'],
    ['a key as bearer', search, undefined],
    ['a key in its own header', ops, undefined],
  ])('%s', (_what, request, code) => {
    const keys = new ApiKeys({ KEYS }, silentLog);
    expect(keys.refusal(request, routeOf({ apiKeys: 'env:KEYS' }), 0)?.code).toBe(code);
  });

  it('lets anybody in where none is asked for', () => {
    expect(new ApiKeys({}, silentLog).refusal(asked({}), routeOf(), 0)).toBe(null);
  });

  it('lets nobody in where they cannot be read', () => {
    const keys = new ApiKeys({}, silentLog);
    for (const apiKeys of ['env:KEYS', 'file:/nowhere/keys']) {
      const refused = keys.refusal(search, routeOf({ apiKeys }), 0);
      expect(refused).toMatchObject({ status: 503, code: 'API_KEYS_UNREADABLE' });
      expect(refused?.info).not.toContain('nowhere');
    }
  });

  it('reads a file again when it has changed, and lets nobody in while it is gone', () => {
    const file = join(tempDir(), 'keys');
    const route = routeOf({ apiKeys: `file:${file}` });
    const keys = new ApiKeys({}, silentLog);
    writeFileSync(file, KEYS);
    expect(keys.refusal(search, route, 0)).toBe(null);
    writeFileSync(file, 'ops = key-of-ops\n');
    expect(keys.refusal(search, route, 500)).toBe(null);
    expect(keys.refusal(search, route, 1_000)?.code).toBe('API_KEY_REFUSED');
    expect(keys.refusal(ops, route, 1_001)).toBe(null);
    rmSync(file);
    expect(keys.refusal(ops, route, 2_500)?.code).toBe('API_KEYS_UNREADABLE');
    writeFileSync(file, KEYS);
    expect(keys.refusal(search, route, 4_000)).toBe(null);
  });

  it('counts for each key what it may have in a second', () => {
    const keys = new ApiKeys({ KEYS }, silentLog);
    const route = routeOf({ apiKeys: 'env:KEYS', apiRatePerS: 2 });
    const codes = (atMs: number, who = search): (string | undefined)[] =>
      [1, 2, 3].map(() => keys.refusal(who, route, atMs)?.code);
    expect(codes(0)).toEqual([undefined, undefined, 'RATE_EXCEEDED']);
    expect(codes(0, ops)).toEqual([undefined, undefined, 'RATE_EXCEEDED']);
    expect(codes(500)).toEqual([undefined, 'RATE_EXCEEDED', 'RATE_EXCEEDED']);
    expect(codes(60_000)).toEqual([undefined, undefined, 'RATE_EXCEEDED']);
    const { status, headers, info } = keys.refusal(search, route, 60_000) ?? expect.fail('not refused');
    expect([status, headers]).toEqual([429, [['retry-after', '1']]]);
    expect(info).toContain('"search"');
    expect(info).not.toContain('key-of-search');
  });
});

describe('a route with API keys', () => {
  let node: TestNode;
  beforeEach(() => {
    node = new TestNode();
  });
  afterEach(async () => {
    await node.close();
  });

  it('answers who has one, and reaches no replica for anybody else', async () => {
    const file = join(tempDir(), 'keys');
    writeFileSync(file, KEYS);
    let calls = 0;
    const echo = ({ answer }: { answer: (text: string) => void }): void => {
      calls += 1;
      answer('"here"');
    };
    await node.serve({ 'Echo-1': echo }, { route: { apiKeys: `file:${file}` } });
    const stranger = await call(node.port);
    expect(stranger.status).toBe(401);
    expect(stranger.headers['www-authenticate']).toBe('Bearer');
    expect(JSON.parse(stranger.text)).toMatchObject({ status: 0, code: 'API_KEY_REFUSED' });
    expect(calls).toBe(0);
    const friend = await call(node.port, { headers: { authorization: 'Bearer key-of-ops' } });
    expect([friend.status, friend.text, calls]).toEqual([200, '"here"', 1]);
  });
});
