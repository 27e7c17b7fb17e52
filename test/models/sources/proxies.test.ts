import { describe, expect, it } from 'vitest';
import { proxyFor } from '../../../src/models/sources/proxies.ts';

const PROXY = 'http://proxy.example:3128';

/** The variable that names the proxy for an address, '' for none. */
const chosen = (origin: string, variables: Record<string, string>): string =>
  proxyFor(origin, variables)?.variable ?? '';

describe('the proxy for a server', () => {
  it.each([
    ['http://a.example', { HTTP_PROXY: PROXY, HTTPS_PROXY: PROXY }, 'HTTP_PROXY'],
    ['https://a.example', { HTTP_PROXY: PROXY, HTTPS_PROXY: PROXY }, 'HTTPS_PROXY'],
    ['https://a.example', { https_proxy: PROXY, HTTPS_PROXY: 'http://other' }, 'https_proxy'],
    ['https://a.example', { HTTP_PROXY: PROXY }, ''],
    ['https://a.example', { HTTP_PROXY: PROXY, ALL_PROXY: PROXY }, 'ALL_PROXY'],
    ['https://a.example', { HTTPS_PROXY: '', all_proxy: PROXY }, 'all_proxy'],
    ['http://a.example', {}, ''],
  ])('of %s with %j is that of "%s"', (origin, variables, variable) => {
    expect(chosen(origin, variables)).toBe(variable);
  });

  it.each([
    ['a.example', true],
    ['other.example, a.example', true],
    ['other.example a.example', true],
    ['.a.example', true],
    ['*.example', true],
    ['example', true],
    ['*', true],
    ['A.EXAMPLE:443', true],
    ['a.example:8443', false],
    ['b.a.example', false],
    ['ample', false],
    ['', false],
    [',', false],
  ])('is none where NO_PROXY "%s" has the host a.example: %s', (exceptions, isLeftOut) => {
    const variables = { HTTPS_PROXY: PROXY, no_proxy: exceptions };
    expect(chosen('https://a.example', variables)).toBe(isLeftOut ? '' : 'HTTPS_PROXY');
  });

  it('is none for an address of IPv6 that NO_PROXY has', () => {
    const variables = { HTTP_PROXY: PROXY, NO_PROXY: '127.0.0.1,[::1]:8080' };
    expect([chosen('http://[::1]:8080', variables), chosen('http://[::1]', variables)]).toEqual([
      ...['', 'HTTP_PROXY'],
    ]);
  });

  it('is shown without its password, and may lack http://', () => {
    const variables = { HTTP_PROXY: 'user:secret@proxy.example:3128' };
    expect(proxyFor('http://a.example', variables)).toEqual({
      ...{ url: 'http://user:secret@proxy.example:3128', shown: PROXY, variable: 'HTTP_PROXY' },
    });
  });

  it.each(['socks5://proxy.example:1080', 'http://'])('cannot be %s', (url) => {
    expect(() => proxyFor('http://a.example', { http_proxy: url }, 'the environment of the head')).toThrow(
      /^http_proxy in the environment of the head: expected the address of a proxy, such as http:\/\/proxy\.example:3128, found what is none$/,
    );
  });
});
