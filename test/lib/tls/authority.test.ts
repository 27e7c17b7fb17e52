import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { authorityFrom } from '../../../src/lib/tls/authority.ts';
import { lifeFrom, whyRenew } from '../../../src/lib/tls/renewal.ts';

const NOW_MS = Date.parse('2026-11-20T12:00:00Z');
const DAY_MS = 24 * 3_600_000;
const NAMES = ['localhost', 'node-7.example', '127.0.0.1', '::1', '10.1.2.3'];

const request = { commonName: 'node n-1', names: NAMES, ...lifeFrom(NOW_MS) };

describe('the authority of a cluster', () => {
  it('is the same wherever the secret is known, and another for another secret', async () => {
    const [here, there, elsewhere] = await Promise.all([
      authorityFrom('mst_a', 'abc'),
      authorityFrom('mst_a', 'abc'),
      authorityFrom('mst_b', 'abc'),
    ]);
    const leaf = new X509Certificate((await here.issue(request)).cert);
    const [mine, theirs, other] = [here, there, elsewhere].map(
      ({ certificate }) => new X509Certificate(certificate),
    );
    if (mine === undefined || theirs === undefined || other === undefined) throw new Error('three were made');
    expect(mine.publicKey.equals(theirs.publicKey)).toBe(true);
    expect(leaf.checkIssued(theirs) && leaf.verify(theirs.publicKey)).toBe(true);
    expect(leaf.verify(other.publicKey)).toBe(false);
  });

  it('may sign leaves and nothing else; a leaf may sign nothing', async () => {
    const authority = await authorityFrom('mst_a', 'abc');
    const { cert, key } = await authority.issue(request);
    const leaf = new X509Certificate(cert);
    expect(new X509Certificate(authority.certificate).ca).toBe(true);
    expect(leaf.ca).toBe(false);
    expect(key).toContain('-----BEGIN PRIVATE KEY-----');
    expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
    expect(leaf.checkHost('node-7.example')).toBe('node-7.example');
    expect(leaf.checkIP('10.1.2.3')).toBe('10.1.2.3');
    expect(leaf.checkIP('::1')).toBe('::1');
    expect(leaf.checkHost('node-8.example')).toBeUndefined();
    expect(Date.parse(leaf.validFrom)).toBe(NOW_MS - DAY_MS);
  });
});

describe('when a certificate is issued anew', () => {
  it('when it is missing, of another token, about to end, or lacks a name', async () => {
    const [ours, others] = await Promise.all([authorityFrom('mst_a', 'abc'), authorityFrom('mst_b', 'abc')]);
    const present = await ours.issue(request);
    const wanted = { names: NAMES, authority: ours.certificate };
    const why = (days: number): string | null => whyRenew(present, wanted, NOW_MS + days * DAY_MS);
    expect(whyRenew(null, wanted, NOW_MS)).toBe('there is none');
    expect(whyRenew({ ...present, cert: 'torn' }, wanted, NOW_MS)).toBe('it cannot be read');
    expect(whyRenew(present, { ...wanted, authority: others.certificate }, NOW_MS)).toBe(
      'it is of another token',
    );
    const { key } = await ours.issue(request);
    expect(whyRenew({ ...present, key }, wanted, NOW_MS)).toBe('it is not of its key');
    expect(why(0)).toBeNull();
    expect(why(243)).toBeNull();
    expect(why(244)).toContain('it ends on Nov 20');
    expect(why(-2)).toContain('not good yet');
    const more = { ...wanted, names: [...NAMES, '10.9.9.9', 'new.example'] };
    expect(whyRenew(present, more, NOW_MS)).toBe('it is not for 10.9.9.9, new.example');
    expect(whyRenew(present, { ...wanted, names: ['10.1.2.3'] }, NOW_MS)).toBeNull();
  });
});
