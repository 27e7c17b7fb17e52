import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { IncomingCall } from '../../../src/runner/javascript/incoming-call.ts';
import { BackendRequest } from '../../../src/runner/javascript/request.ts';
import type { RequestBytes } from '../../../src/runner/javascript/thread-calls.ts';

const call = (body: RequestBytes): IncomingCall => new IncomingCall({ headText: '{"id":"r-1"}', body });
const ALL_BYTES = Uint8Array.from({ length: 256 }, (_, byte) => byte);

describe('the body of a call', () => {
  it('is the same bytes whether it came as a string or as bytes', () => {
    const asString = call(Buffer.from(ALL_BYTES).toString('latin1')).bytes;
    expect(asString).toEqual(ALL_BYTES);
    expect(call(ALL_BYTES).bytes).toBe(ALL_BYTES);
    expect(asString.buffer.byteLength).toBe(256); // no view of memory that others use
  });

  it.each(['plain', 'wörld', '日本', ''])('is UTF-8 as text: %s', (text) => {
    const bytes = Buffer.from(text);
    expect(call(bytes.toString('latin1')).text).toBe(text);
    expect(call(new Uint8Array(bytes)).text).toBe(text);
  });

  it('is one array, which keeps what user code wrote into it', () => {
    const one = call('abc');
    one.bytes[0] = 0x78;
    expect([one.bytes, one.text]).toEqual([Uint8Array.from([0x78, 0x62, 0x63]), 'xbc']);
  });
});

describe('the signal of a call', () => {
  it.each([
    ['before', true],
    ['after', false],
  ])('is aborted when it was looked at %s the cancel', (_when, isLookedAtBefore) => {
    const one = call('');
    const before = isLookedAtBefore ? one.signal : null;
    expect(before?.aborted ?? false).toBe(false);
    one.cancel();
    one.cancel();
    expect([one.signal.aborted, one.isCancelled]).toEqual([true, true]);
    expect(String(one.signal.reason)).toContain('nobody reads its answer');
    if (before !== null) expect(one.signal).toBe(before);
  });
});

it('a request can be printed', () => {
  const head = { id: 'r-1', method: 'GET', scheme: 'http', path: '/a', query: 'b=1', client: null };
  const headText = JSON.stringify({ ...head, headers: [['x-kind', 'k']] });
  const printed = inspect(new BackendRequest(new IncomingCall({ headText, body: '' })));
  expect(printed).toMatch(/^BackendRequest \{/);
  for (const part of ["'r-1'", "'GET'", "'http://localhost/a?b=1'", "'x-kind': 'k'"])
    expect(printed).toContain(part);
});
